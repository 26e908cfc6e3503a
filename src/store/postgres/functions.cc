// SPDX-License-Identifier: Apache-2.0
#include "store/postgres/schema.h"

// What a group or an exchange does stands in the server, so that it takes one round trip.
//
// Locks, in this order, so that nobody waits in a circle:
// 1. the row of the owner, or the sharer's own: who has taken over waits for, or fences off,
// whoever
//    was here before;
// 2. of an exchange: the rows of all its customers, in the order of their keys;
// 3. then, in the order of their numbers, locks for names that nobody has, or that become alternate
//    IDs. Names share 256 locks, for the server has room for few thousand.
// What moves an alternate ID away from a customer that is no part of the transaction locks that row
// last; where two meet there, the server ends one of them, and it is tried again.
namespace limitr::store::postgres {
namespace {

constexpr const char* now_ms = R"(CREATE FUNCTION {s}.now_ms() RETURNS bigint
LANGUAGE sql VOLATILE AS $$
  SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint
$$)";

constexpr const char* fenced = R"(CREATE FUNCTION {s}.fenced() RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  successor text;
BEGIN
  SELECT format('process %s on %s since %s', process, host,
                to_char(to_timestamp(since / 1000.0) AT TIME ZONE 'UTC',
                        'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))
    INTO successor FROM {s}.owner WHERE one = 1 AND host <> '';
  RAISE EXCEPTION 'the store was taken over%', coalesce(' by ' || successor, '')
    USING ERRCODE = 'LM001';
END $$)";

constexpr const char* begin_group = R"(CREATE FUNCTION {s}.begin_group(
  my_epoch bigint, my_token bigint, lease bigint, group_number bigint, sum bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  UPDATE {s}.owner SET last_group = group_number, lease_until = {s}.now_ms() + lease, checksum = sum
   WHERE one = 1 AND epoch = my_epoch AND token = my_token;
  IF NOT FOUND THEN PERFORM {s}.fenced(); END IF;
END $$)";

constexpr const char* renew_owner = R"(CREATE FUNCTION {s}.renew_owner(
  my_epoch bigint, my_token bigint, lease bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  UPDATE {s}.owner SET lease_until = {s}.now_ms() + lease
   WHERE one = 1 AND epoch = my_epoch AND token = my_token;
  IF NOT FOUND THEN PERFORM {s}.fenced(); END IF;
END $$)";

// The sharer's row is held until the end of the transaction, and its lease kept from running out.
constexpr const char* hold_sharer = R"(CREATE FUNCTION {s}.hold_sharer(
  me bigint, lease bigint, renew boolean) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  until bigint;
BEGIN
  SELECT lease_until INTO until FROM {s}.sharers WHERE id = me FOR NO KEY UPDATE;
  IF NOT FOUND THEN PERFORM {s}.fenced(); END IF;
  IF renew OR until < {s}.now_ms() + lease / 2 THEN
    UPDATE {s}.sharers SET lease_until = {s}.now_ms() + lease WHERE id = me;
  END IF;
END $$)";

constexpr const char* put_text = R"(CREATE FUNCTION {s}.put_text(
  text_name text, text_version bigint, content text, sum bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO {s}.texts AS t VALUES (text_name, text_version, content, sum # text_version)
  ON CONFLICT (name) DO UPDATE
     SET version = excluded.version, text = excluded.text, checksum = excluded.checksum;
END $$)";

// The alternate IDs of these customers are those, and no others. What an alternate ID led to before
// loses it.
constexpr const char* put_alt_ids = R"(CREATE FUNCTION {s}.put_alt_ids(
  families text[], ids text[],
  alt_families text[], alts text[], alt_owner_families text[], alt_owners text[],
  alt_sums bigint[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM {s}.alt_ids a USING unnest(families, ids) AS w(family, id)
   WHERE a.customer_family = w.family AND a.customer = w.id
     AND (a.family, a.alt) NOT IN (SELECT * FROM unnest(alt_families, alts));
  UPDATE {s}.customers c
     SET alt_ids = ARRAY(SELECT e FROM unnest(c.alt_ids) e WHERE e <> ALL (lost.alts))
    FROM (SELECT a.customer_family, a.customer, array_agg(a.alt) AS alts
            FROM unnest(alt_families, alts, alt_owner_families, alt_owners)
                 AS w(family, alt, owner_family, owner)
            JOIN {s}.alt_ids a ON a.family = w.family AND a.alt = w.alt
           WHERE (a.customer_family, a.customer) <> (w.owner_family, w.owner)
           GROUP BY 1, 2) AS lost
   WHERE c.family = lost.customer_family AND c.id = lost.customer;
  INSERT INTO {s}.alt_ids AS a
  SELECT * FROM unnest(alt_families, alts, alt_owner_families, alt_owners, alt_sums)
  ON CONFLICT (family, alt) DO UPDATE
     SET customer_family = excluded.customer_family, customer = excluded.customer,
         checksum = excluded.checksum
   WHERE (a.customer_family, a.customer, a.checksum)
         IS DISTINCT FROM (excluded.customer_family, excluded.customer, excluded.checksum);
END $$)";

constexpr const char* remove_customers = R"(CREATE FUNCTION {s}.remove_customers(
  families text[], ids text[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM {s}.alt_ids a USING unnest(families, ids) AS w(family, id)
   WHERE a.customer_family = w.family AND a.customer = w.id;
  DELETE FROM {s}.requests r USING unnest(families, ids) AS w(family, id)
   WHERE r.family = w.family AND r.customer = w.id;
  DELETE FROM {s}.customers c USING unnest(families, ids) AS w(family, id)
   WHERE c.family = w.family AND c.id = w.id;
END $$)";

constexpr const char* put_requests = R"(CREATE FUNCTION {s}.put_requests(
  families text[], customers text[], numbers bigint[], ids text[], fingerprints bigint[],
  answers text[], ats bigint[], sums bigint[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO {s}.requests
  SELECT * FROM unnest(families, customers, numbers, ids, fingerprints, answers, ats, sums)
  ON CONFLICT (family, customer, number) DO UPDATE
     SET id = excluded.id, fingerprint = excluded.fingerprint, answer = excluded.answer,
         at = excluded.at, checksum = excluded.checksum;
END $$)";

// Customers of a group of the owner's. One without a record is removed. `alt_of` says whose an
// alternate ID is, counted from 1.
constexpr const char* write_customers = R"(CREATE FUNCTION {s}.write_customers(
  group_number bigint,
  families text[], ids text[], full_ids text[], records text[], alt_lists text[], sums bigint[],
  first_requests bigint[],
  alt_of integer[], alt_families text[], alts text[], alt_sums bigint[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  removed integer[];
  done integer[];
  others integer[];
BEGIN
  removed := array_positions(records, NULL);
  IF cardinality(removed) > 0 THEN
    PERFORM {s}.remove_customers(
      ARRAY(SELECT families[i] FROM unnest(removed) i), ARRAY(SELECT ids[i] FROM unnest(removed) i));
  END IF;
  -- Most are there already, with the alternate IDs that they had.
  WITH updated AS (
    UPDATE {s}.customers c
       SET version = group_number, record = w.record, checksum = w.sum # group_number
      FROM unnest(families, ids, records, alt_lists, sums) WITH ORDINALITY
           AS w(family, id, record, alts, sum, n)
     WHERE w.record IS NOT NULL AND c.family = w.family AND c.id = w.id
       AND c.alt_ids = w.alts::text[]
    RETURNING w.n::integer)
  SELECT array_agg(n) INTO done FROM updated;
  IF cardinality(done) + cardinality(removed) IS DISTINCT FROM cardinality(ids) THEN
    others := ARRAY(SELECT i FROM generate_subscripts(ids, 1) i WHERE records[i] IS NOT NULL
                    EXCEPT SELECT unnest(done));
    PERFORM {s}.put_alt_ids(
      ARRAY(SELECT families[i] FROM unnest(others) i), ARRAY(SELECT ids[i] FROM unnest(others) i),
      array_agg(a.family), array_agg(a.alt), array_agg(families[a.n]), array_agg(ids[a.n]),
      array_agg(a.sum))
      FROM unnest(alt_of, alt_families, alts, alt_sums) AS a(n, family, alt, sum)
     WHERE a.n IN (SELECT unnest(others));
    INSERT INTO {s}.customers AS c (family, id, full_id, version, record, alt_ids, checksum)
    SELECT families[i], ids[i], full_ids[i], group_number, records[i], alt_lists[i]::text[],
           sums[i] # group_number
      FROM unnest(others) i
    ON CONFLICT (family, id) DO UPDATE
       SET full_id = excluded.full_id, version = excluded.version, record = excluded.record,
           alt_ids = excluded.alt_ids, checksum = excluded.checksum;
  END IF;
  DELETE FROM {s}.requests r USING unnest(families, ids, first_requests) AS w(family, id, first)
   WHERE w.first > 0 AND r.family = w.family AND r.customer = w.id AND r.number < w.first;
END $$)";

// The locks for names that nobody has, or that become alternate IDs.
constexpr const char* lock_names = R"(CREATE FUNCTION {s}.lock_names(names text[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  one bigint;
BEGIN
  FOR one IN
    SELECT DISTINCT hashtextextended(name, 0) & 255 FROM unnest(names) AS name ORDER BY 1
  LOOP
    PERFORM pg_advisory_xact_lock(({q}::regnamespace::oid::bigint << 8) + one);
  END LOOP;
END $$)";

// Kinds of parts: 0 stays, 1 is written, 2 is removed. The parts of transaction t end with
// ends[t], the requests of part i are those after request_ends[i - 1] up to request_ends[i].
constexpr const char* exchange = R"(CREATE FUNCTION {s}.exchange(
  me bigint, lease bigint, is_repeat boolean, forget bigint,
  numbers bigint[], ends integer[],
  families text[], ids text[], full_ids text[], versions bigint[], kinds integer[], records text[],
  alt_lists text[], alt_families text[], alt_sums text[], sums bigint[], first_requests bigint[],
  request_ends integer[], request_numbers bigint[], request_ids text[], fingerprints bigint[],
  answers text[], ats bigint[], request_sums bigint[],
  lock_families text[], lock_ids text[], lock_to_write boolean[],
  OUT is_written boolean[], OUT new_versions bigint[])
LANGUAGE plpgsql AS $$
DECLARE
  names text[] := '{}';
  known bigint[];
  now_version bigint;
  first integer := 1;
  first_request integer;
  good boolean;
  done_numbers bigint[] := '{}';
  done_versions text[] := '{}';
BEGIN
  PERFORM {s}.hold_sharer(me, lease, false);
  IF forget > 0 THEN DELETE FROM {s}.written WHERE sharer = me AND number < forget; END IF;
  is_written := '{}';
  new_versions := '{}';

  -- Most are one customer that is still what it was, with the alternate IDs that it had.
  IF NOT is_repeat AND cardinality(ids) = 1 AND kinds[1] = 1 AND versions[1] > 0 THEN
    now_version := nextval({v});
    UPDATE {s}.customers
       SET version = now_version, record = records[1], checksum = sums[1] # now_version
     WHERE family = families[1] AND id = ids[1] AND version = versions[1]
       AND alt_ids = alt_lists[1]::text[];
    IF FOUND THEN
      PERFORM {s}.put_part_requests(families[1], ids[1], first_requests[1], request_numbers,
                                    request_ids, fingerprints, answers, ats, request_sums);
      INSERT INTO {s}.written VALUES (me, numbers[1], ARRAY[now_version]);
      is_written := ARRAY[true];
      new_versions := ARRAY[now_version];
      RETURN;
    END IF;
  END IF;

  FOR i IN 1 .. cardinality(lock_ids) LOOP
    IF lock_to_write[i] THEN
      PERFORM 1 FROM {s}.customers WHERE family = lock_families[i] AND id = lock_ids[i]
         FOR NO KEY UPDATE;
    ELSE
      PERFORM 1 FROM {s}.customers WHERE family = lock_families[i] AND id = lock_ids[i] FOR SHARE;
    END IF;
    IF NOT FOUND THEN names := names || lock_ids[i]; END IF;
  END LOOP;
  names := names || ARRAY(
    SELECT unnest(w.alts::text[])
      FROM unnest(families, ids, kinds, alt_lists) AS w(family, id, kind, alts)
      LEFT JOIN {s}.customers c ON c.family = w.family AND c.id = w.id
     WHERE w.kind = 1 AND coalesce(c.alt_ids, '{}') <> w.alts::text[]);
  IF cardinality(names) > 0 THEN PERFORM {s}.lock_names(names); END IF;

  FOR t IN 1 .. cardinality(numbers) LOOP
    IF is_repeat THEN
      SELECT w.versions INTO known FROM {s}.written w WHERE w.sharer = me AND w.number = numbers[t];
      IF FOUND THEN
        is_written[t] := true;
        new_versions := new_versions || known;
        first := ends[t] + 1;
        CONTINUE;
      END IF;
    END IF;
    good := true;
    FOR i IN first .. ends[t] LOOP
      SELECT version INTO now_version FROM {s}.customers
       WHERE family = families[i] AND id = ids[i];
      IF FOUND THEN
        good := now_version = versions[i];
      ELSE
        good := versions[i] = 0
                AND NOT EXISTS (SELECT FROM {s}.alt_ids WHERE family = families[i] AND alt = ids[i]);
      END IF;
      EXIT WHEN NOT good;
    END LOOP;
    is_written[t] := good;
    FOR i IN first .. ends[t] LOOP
      first_request := CASE WHEN i = 1 THEN 0 ELSE request_ends[i - 1] END + 1;
      IF NOT good THEN
        new_versions[i] := 0;
      ELSIF kinds[i] = 0 THEN
        new_versions[i] := versions[i];
      ELSIF kinds[i] = 2 THEN
        PERFORM {s}.remove_customers(families[i:i], ids[i:i]);
        new_versions[i] := 0;
      ELSE
        new_versions[i] := {s}.write_part(
          families[i], ids[i], full_ids[i], records[i], sums[i], alt_lists[i]::text[],
          alt_families[i]::text[], alt_sums[i]::bigint[]);
        PERFORM {s}.put_part_requests(
          families[i], ids[i], first_requests[i],
          request_numbers[first_request:request_ends[i]],
          request_ids[first_request:request_ends[i]],
          fingerprints[first_request:request_ends[i]], answers[first_request:request_ends[i]],
          ats[first_request:request_ends[i]], request_sums[first_request:request_ends[i]]);
      END IF;
    END LOOP;
    IF good THEN
      done_numbers := done_numbers || numbers[t];
      done_versions := done_versions || new_versions[first:ends[t]]::text;
    END IF;
    first := ends[t] + 1;
  END LOOP;
  IF cardinality(done_numbers) > 0 THEN
    INSERT INTO {s}.written
    SELECT me, w.number, w.versions::bigint[] FROM unnest(done_numbers, done_versions) AS w(number, versions);
  END IF;
END $$)";

// A customer of a transaction, of whom the row, or the name where there is none, is locked.
constexpr const char* write_part = R"(CREATE FUNCTION {s}.write_part(
  my_family text, my_id text, my_full_id text, my_record text, sum bigint,
  alts text[], alt_families text[], alt_sums bigint[]) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  had text[];
  now_version bigint := nextval({v});
BEGIN
  SELECT alt_ids INTO had FROM {s}.customers WHERE family = my_family AND id = my_id;
  IF coalesce(had, '{}') <> alts THEN
    PERFORM {s}.put_alt_ids(
      ARRAY[my_family], ARRAY[my_id], alt_families, alts,
      array_fill(my_family, ARRAY[cardinality(alts)]), array_fill(my_id, ARRAY[cardinality(alts)]),
      alt_sums);
  END IF;
  INSERT INTO {s}.customers AS c (family, id, full_id, version, record, alt_ids, checksum)
  VALUES (my_family, my_id, my_full_id, now_version, my_record, alts, sum # now_version)
  ON CONFLICT (family, id) DO UPDATE
     SET full_id = excluded.full_id, version = excluded.version, record = excluded.record,
         alt_ids = excluded.alt_ids, checksum = excluded.checksum;
  RETURN now_version;
END $$)";

constexpr const char* put_part_requests = R"(CREATE FUNCTION {s}.put_part_requests(
  my_family text, my_id text, first bigint, numbers bigint[], ids text[], fingerprints bigint[],
  answers text[], ats bigint[], sums bigint[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  IF cardinality(numbers) > 0 THEN
    PERFORM {s}.put_requests(
      array_fill(my_family, ARRAY[cardinality(numbers)]),
      array_fill(my_id, ARRAY[cardinality(numbers)]), numbers, ids, fingerprints, answers, ats, sums);
  END IF;
  IF first > 0 THEN
    DELETE FROM {s}.requests WHERE family = my_family AND customer = my_id AND number < first;
  END IF;
END $$)";

void replace_all(std::string& sql, std::string_view mark, const std::string& with) {
  for (std::size_t at = sql.find(mark); at != std::string::npos; at = sql.find(mark, at)) {
    sql.replace(at, mark.size(), with);
  }
}

}  // namespace

std::vector<std::string> functions_of(const std::string& schema) {
  std::vector<std::string> all;
  for (const char* function : {now_ms, fenced, begin_group, renew_owner, hold_sharer, put_text,
                               put_alt_ids, remove_customers, put_requests, write_customers,
                               lock_names, write_part, put_part_requests, exchange}) {
    std::string& sql = all.emplace_back(function);
    replace_all(sql, "{s}", schema);
    replace_all(sql, "{q}", "'" + schema + "'");
    replace_all(sql, "{v}", "'" + schema + ".versions'");
  }
  return all;
}

}  // namespace limitr::store::postgres
