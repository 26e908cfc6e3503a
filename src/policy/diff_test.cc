// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <limitr/policy.h>

// spec: policy.md, Validation (two policies can be compared)
namespace limitr {
namespace {

std::vector<Difference> diff(std::string_view before, std::string_view after) {
  const auto result = diff_policies(before, Format::yaml, after, Format::yaml);
  EXPECT_TRUE(result.ok()) << result.error().to_string();
  return result.ok() ? *result : std::vector<Difference>();
}

std::string shape(const std::vector<Difference>& differences) {
  std::string text;
  for (const Difference& difference : differences) {
    const char* kind = difference.kind == Difference::Kind::added     ? "+"
                       : difference.kind == Difference::Kind::removed ? "-"
                                                                      : "~";
    text += kind + difference.path + ' ';
  }
  return text;
}

TEST(Diff, NamesWhatWasAddedRemovedAndChanged) {
  const auto found =
      diff("policy: {a: 1, b: {x: 1, y: 2}, c: [1]}", "policy: {a: 2, b: {x: 1, z: 3}, c: [1]}");
  ASSERT_EQ(shape(found), "~policy.a -policy.b.y +policy.b.z ");
  EXPECT_EQ(found[0].before, Json(1));
  EXPECT_EQ(found[0].after, Json(2));
  EXPECT_EQ(found[1].before, Json(2));
  EXPECT_EQ(found[1].after, std::nullopt);
  EXPECT_EQ(found[2].before, std::nullopt);
  EXPECT_EQ(found[2].after, Json(3));
}

TEST(Diff, NothingWhereOnlyTheWritingDiffers) {
  EXPECT_EQ(shape(diff("{a: 1, b: 0x10, c: {d: x, e: y}}", "c: {e: 'y', d: x}\nb: 16.0\na: 1e0\n")),
            "");
  const auto across = diff_policies("{\"a\": [1, {\"b\": 2, \"c\": 3}]}", Format::json,
                                    "a = [1.0, {c = 3, b = 2}]", Format::toml);
  EXPECT_TRUE(across.value().empty());
}

TEST(Diff, ListsAreComparedAsAWhole) {
  const auto found = diff("a: [1, 2]", "a: [2, 1]");
  ASSERT_EQ(shape(found), "~a ");
  EXPECT_EQ(found[0].after, Json({2, 1}));
  EXPECT_EQ(shape(diff("a: [{x: 1}]", "a: [{x: 1, y: 2}]")), "~a ");
  EXPECT_EQ(shape(diff("a: [1]", "a: [1, 1]")), "~a ");
}

TEST(Diff, AnotherTypeIsAChange) {
  EXPECT_EQ(shape(diff("a: 1", "a: '1'")), "~a ");
  EXPECT_EQ(shape(diff("a: {b: 1}", "a: [1]")), "~a ");
  const auto gone = diff("a: {b: 1}", "a: null");
  ASSERT_EQ(shape(gone), "~a ");
  EXPECT_EQ(gone[0].after, Json(nullptr)) << "null is a value, not an absence";
}

TEST(Diff, FollowsTheOrderOfTheNewDocument) {
  EXPECT_EQ(shape(diff("{a: 1, gone: 1, b: 1, end: 1}", "{new: 1, b: 2, a: 2}")),
            "+new ~b -end ~a -gone ");
  EXPECT_EQ(shape(diff("{first: 1, a: 1}", "{a: 1}")), "-first ");
}

TEST(Diff, NeedsDocumentsThatCanBeRead) {
  const auto result = diff_policies("a: 1", Format::yaml, "{", Format::json);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, ErrorCode::policy_invalid);
  DocumentBounds bounds;
  bounds.max_bytes = 2;
  EXPECT_EQ(diff_policies("a: 1", Format::yaml, "", Format::yaml, bounds).error().code,
            ErrorCode::document_too_large);
}

}  // namespace
}  // namespace limitr
