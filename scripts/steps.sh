# SPDX-License-Identifier: Apache-2.0
# Sourced: runs named steps, prints how long each took, and counts what passed and failed.
# REQUIRES: the working directory is the root of the tree.

passed=0
failed=0
logs=build/logs
mkdir -p "$logs"

# run_logged NAME COMMAND...: prints the step's name and duration; its output only when it failed.
run_logged() {
  local name=$1 started=$SECONDS status=0
  shift
  log=$logs/${name// /_}.log
  printf '%-28s' "$name"
  "$@" >"$log" 2>&1 </dev/null || status=$?
  local seconds=$((SECONDS - started)) verdict=ok
  ((status == 0)) || verdict=FAILED
  printf '%3d:%02d  %s' $((seconds / 60)) $((seconds % 60)) "$verdict"
  return "$status"
}

# must NAME COMMAND...: a step that the rest needs. When it fails, all ends here.
must() {
  run_logged "$@" && { echo && return; }
  failed=$((failed + 1))
  echo && cat "$log"
  summary
  exit 1
}

# check NAME COMMAND...: a step that counts as one test.
check() {
  if run_logged "$@"; then
    passed=$((passed + 1))
    echo
  else
    failed=$((failed + 1))
    echo && cat "$log"
  fi
}

# Reads one number from the head of a JUnit report: tests, failures, skipped, disabled.
junit_count() { sed -n "s/^[[:space:]]*$1=\"\([0-9]*\)\".*/\1/p" "$2" | head -n 1; }

# suite NAME PRESET [CTEST ARGUMENT...]: the tests of a build, each of which counts.
suite() {
  local name=$1 report=$PWD/$logs/${1// /_}.xml status=0 tests failures skipped
  local tree=build/$2
  shift 2
  rm -f "$report"
  run_logged "$name" ctest --test-dir "$tree" --output-on-failure --no-tests=error \
    --timeout 600 -j "$(nproc)" --output-junit "$report" "$@" || status=$?
  if [[ -f $report ]]; then
    tests=$(junit_count tests "$report")
    failures=$(junit_count failures "$report")
    skipped=$(($(junit_count skipped "$report") + $(junit_count disabled "$report")))
  else
    tests=1 failures=1 skipped=0
  fi
  # A ctest that fails without naming a test (none found, killed) is a failure all the same.
  ((status == 0 || failures > 0)) || failures=1 tests=$((tests + 1))
  passed=$((passed + tests - failures - skipped))
  failed=$((failed + failures))
  printf '  %d passed, %d failed%s\n' $((tests - failures - skipped)) "$failures" \
    "$( ((skipped == 0)) || echo ", $skipped skipped")"
  ((failures == 0)) || grep -vE '^( *Start +[0-9]+:| *[0-9]+/[0-9]+ Test .* Passed )' "$log"
}

summary() { printf '%d passed, %d failed\n' "$passed" "$failed"; }
