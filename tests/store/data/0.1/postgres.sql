--
-- PostgreSQL database dump
--


-- Dumped from database version 15.20 (Debian 15.20-0+deb12u1)
-- Dumped by pg_dump version 15.20 (Debian 15.20-0+deb12u1)

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: limitr; Type: SCHEMA; Schema: -; Owner: -
--

CREATE SCHEMA limitr;


--
-- Name: begin_group(bigint, bigint, bigint, bigint, bigint); Type: FUNCTION; Schema: limitr; Owner: -
--

CREATE FUNCTION limitr.begin_group(my_epoch bigint, my_token bigint, lease bigint, group_number bigint, sum bigint) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
  UPDATE "limitr".owner SET last_group = group_number, lease_until = "limitr".now_ms() + lease, checksum = sum
   WHERE one = 1 AND epoch = my_epoch AND token = my_token;
  IF NOT FOUND THEN PERFORM "limitr".fenced(); END IF;
END $$;


--
-- Name: exchange(bigint, bigint, boolean, bigint, bigint[], integer[], text[], text[], text[], bigint[], integer[], text[], text[], text[], text[], bigint[], bigint[], integer[], bigint[], text[], bigint[], text[], bigint[], bigint[], text[], text[], boolean[]); Type: FUNCTION; Schema: limitr; Owner: -
--

CREATE FUNCTION limitr.exchange(me bigint, lease bigint, is_repeat boolean, forget bigint, numbers bigint[], ends integer[], families text[], ids text[], full_ids text[], versions bigint[], kinds integer[], records text[], alt_lists text[], alt_families text[], alt_sums text[], sums bigint[], first_requests bigint[], request_ends integer[], request_numbers bigint[], request_ids text[], fingerprints bigint[], answers text[], ats bigint[], request_sums bigint[], lock_families text[], lock_ids text[], lock_to_write boolean[], OUT is_written boolean[], OUT new_versions bigint[]) RETURNS record
    LANGUAGE plpgsql
    AS $$
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
  PERFORM "limitr".hold_sharer(me, lease, false);
  IF forget > 0 THEN DELETE FROM "limitr".written WHERE sharer = me AND number < forget; END IF;
  is_written := '{}';
  new_versions := '{}';

  -- Most are one customer that is still what it was, with the alternate IDs that it had.
  IF NOT is_repeat AND cardinality(ids) = 1 AND kinds[1] = 1 AND versions[1] > 0 THEN
    now_version := nextval('"limitr".versions');
    UPDATE "limitr".customers
       SET version = now_version, record = records[1], checksum = sums[1] # now_version
     WHERE family = families[1] AND id = ids[1] AND version = versions[1]
       AND alt_ids = alt_lists[1]::text[];
    IF FOUND THEN
      PERFORM "limitr".put_part_requests(families[1], ids[1], first_requests[1], request_numbers,
                                    request_ids, fingerprints, answers, ats, request_sums);
      INSERT INTO "limitr".written VALUES (me, numbers[1], ARRAY[now_version]);
      is_written := ARRAY[true];
      new_versions := ARRAY[now_version];
      RETURN;
    END IF;
  END IF;

  FOR i IN 1 .. cardinality(lock_ids) LOOP
    IF lock_to_write[i] THEN
      PERFORM 1 FROM "limitr".customers WHERE family = lock_families[i] AND id = lock_ids[i]
         FOR NO KEY UPDATE;
    ELSE
      PERFORM 1 FROM "limitr".customers WHERE family = lock_families[i] AND id = lock_ids[i] FOR SHARE;
    END IF;
    IF NOT FOUND THEN names := names || lock_ids[i]; END IF;
  END LOOP;
  names := names || ARRAY(
    SELECT unnest(w.alts::text[])
      FROM unnest(families, ids, kinds, alt_lists) AS w(family, id, kind, alts)
      LEFT JOIN "limitr".customers c ON c.family = w.family AND c.id = w.id
     WHERE w.kind = 1 AND coalesce(c.alt_ids, '{}') <> w.alts::text[]);
  IF cardinality(names) > 0 THEN PERFORM "limitr".lock_names(names); END IF;

  FOR t IN 1 .. cardinality(numbers) LOOP
    IF is_repeat THEN
      SELECT w.versions INTO known FROM "limitr".written w WHERE w.sharer = me AND w.number = numbers[t];
      IF FOUND THEN
        is_written[t] := true;
        new_versions := new_versions || known;
        first := ends[t] + 1;
        CONTINUE;
      END IF;
    END IF;
    good := true;
    FOR i IN first .. ends[t] LOOP
      SELECT version INTO now_version FROM "limitr".customers
       WHERE family = families[i] AND id = ids[i];
      IF FOUND THEN
        good := now_version = versions[i];
      ELSE
        good := versions[i] = 0
                AND NOT EXISTS (SELECT FROM "limitr".alt_ids WHERE family = families[i] AND alt = ids[i]);
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
        PERFORM "limitr".remove_customers(families[i:i], ids[i:i]);
        new_versions[i] := 0;
      ELSE
        new_versions[i] := "limitr".write_part(
          families[i], ids[i], full_ids[i], records[i], sums[i], alt_lists[i]::text[],
          alt_families[i]::text[], alt_sums[i]::bigint[]);
        PERFORM "limitr".put_part_requests(
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
    INSERT INTO "limitr".written
    SELECT me, w.number, w.versions::bigint[] FROM unnest(done_numbers, done_versions) AS w(number, versions);
  END IF;
END $$;


--
-- Name: fenced(); Type: FUNCTION; Schema: limitr; Owner: -
--

CREATE FUNCTION limitr.fenced() RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
  successor text;
BEGIN
  SELECT format('process %s on %s since %s', process, host,
                to_char(to_timestamp(since / 1000.0) AT TIME ZONE 'UTC',
                        'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))
    INTO successor FROM "limitr".owner WHERE one = 1 AND host <> '';
  RAISE EXCEPTION 'the store was taken over%', coalesce(' by ' || successor, '')
    USING ERRCODE = 'LM001';
END $$;


--
-- Name: hold_sharer(bigint, bigint, boolean); Type: FUNCTION; Schema: limitr; Owner: -
--

CREATE FUNCTION limitr.hold_sharer(me bigint, lease bigint, renew boolean) RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
  until bigint;
BEGIN
  SELECT lease_until INTO until FROM "limitr".sharers WHERE id = me FOR NO KEY UPDATE;
  IF NOT FOUND THEN PERFORM "limitr".fenced(); END IF;
  IF renew OR until < "limitr".now_ms() + lease / 2 THEN
    UPDATE "limitr".sharers SET lease_until = "limitr".now_ms() + lease WHERE id = me;
  END IF;
END $$;


--
-- Name: json_of(text); Type: FUNCTION; Schema: limitr; Owner: -
--

CREATE FUNCTION limitr.json_of(record text) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
    AS $$
BEGIN
  RETURN record::jsonb;
EXCEPTION WHEN data_exception THEN
  BEGIN
    RETURN replace(record, '\u0000', '\ufffd')::jsonb;
  EXCEPTION WHEN data_exception THEN
    RETURN NULL;
  END;
END $$;


--
-- Name: lock_names(text[]); Type: FUNCTION; Schema: limitr; Owner: -
--

CREATE FUNCTION limitr.lock_names(names text[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
  one bigint;
BEGIN
  FOR one IN
    SELECT DISTINCT hashtextextended(name, 0) & 255 FROM unnest(names) AS name ORDER BY 1
  LOOP
    PERFORM pg_advisory_xact_lock(('"limitr"'::regnamespace::oid::bigint << 8) + one);
  END LOOP;
END $$;


--
-- Name: members(jsonb); Type: FUNCTION; Schema: limitr; Owner: -
--

CREATE FUNCTION limitr.members(given jsonb) RETURNS TABLE(key text, value jsonb)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
  SELECT key, value FROM jsonb_each(CASE WHEN jsonb_typeof(given) = 'object' THEN given ELSE '{}' END)
   WHERE jsonb_typeof(value) = 'object'
$$;


--
-- Name: now_ms(); Type: FUNCTION; Schema: limitr; Owner: -
--

CREATE FUNCTION limitr.now_ms() RETURNS bigint
    LANGUAGE sql
    AS $$
  SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint
$$;


--
-- Name: number_of(jsonb); Type: FUNCTION; Schema: limitr; Owner: -
--

CREATE FUNCTION limitr.number_of(value jsonb) RETURNS double precision
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
  SELECT CASE WHEN jsonb_typeof(value) = 'number' THEN value::double precision END
$$;


--
-- Name: put_alt_ids(text[], text[], text[], text[], text[], text[], bigint[]); Type: FUNCTION; Schema: limitr; Owner: -
--

CREATE FUNCTION limitr.put_alt_ids(families text[], ids text[], alt_families text[], alts text[], alt_owner_families text[], alt_owners text[], alt_sums bigint[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
  DELETE FROM "limitr".alt_ids a USING unnest(families, ids) AS w(family, id)
   WHERE a.customer_family = w.family AND a.customer = w.id
     AND (a.family, a.alt) NOT IN (SELECT * FROM unnest(alt_families, alts));
  UPDATE "limitr".customers c
     SET alt_ids = ARRAY(SELECT e FROM unnest(c.alt_ids) e WHERE e <> ALL (lost.alts))
    FROM (SELECT a.customer_family, a.customer, array_agg(a.alt) AS alts
            FROM unnest(alt_families, alts, alt_owner_families, alt_owners)
                 AS w(family, alt, owner_family, owner)
            JOIN "limitr".alt_ids a ON a.family = w.family AND a.alt = w.alt
           WHERE (a.customer_family, a.customer) <> (w.owner_family, w.owner)
           GROUP BY 1, 2) AS lost
   WHERE c.family = lost.customer_family AND c.id = lost.customer;
  INSERT INTO "limitr".alt_ids AS a
  SELECT * FROM unnest(alt_families, alts, alt_owner_families, alt_owners, alt_sums)
  ON CONFLICT (family, alt) DO UPDATE
     SET customer_family = excluded.customer_family, customer = excluded.customer,
         checksum = excluded.checksum
   WHERE (a.customer_family, a.customer, a.checksum)
         IS DISTINCT FROM (excluded.customer_family, excluded.customer, excluded.checksum);
END $$;


--
-- Name: put_part_requests(text, text, bigint, bigint[], text[], bigint[], text[], bigint[], bigint[]); Type: FUNCTION; Schema: limitr; Owner: -
--

CREATE FUNCTION limitr.put_part_requests(my_family text, my_id text, first bigint, numbers bigint[], ids text[], fingerprints bigint[], answers text[], ats bigint[], sums bigint[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
  IF cardinality(numbers) > 0 THEN
    PERFORM "limitr".put_requests(
      array_fill(my_family, ARRAY[cardinality(numbers)]),
      array_fill(my_id, ARRAY[cardinality(numbers)]), numbers, ids, fingerprints, answers, ats, sums);
  END IF;
  IF first > 0 THEN
    DELETE FROM "limitr".requests WHERE family = my_family AND customer = my_id AND number < first;
  END IF;
END $$;


--
-- Name: put_requests(text[], text[], bigint[], text[], bigint[], text[], bigint[], bigint[]); Type: FUNCTION; Schema: limitr; Owner: -
--

CREATE FUNCTION limitr.put_requests(families text[], customers text[], numbers bigint[], ids text[], fingerprints bigint[], answers text[], ats bigint[], sums bigint[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
  INSERT INTO "limitr".requests
  SELECT * FROM unnest(families, customers, numbers, ids, fingerprints, answers, ats, sums)
  ON CONFLICT (family, customer, number) DO UPDATE
     SET id = excluded.id, fingerprint = excluded.fingerprint, answer = excluded.answer,
         at = excluded.at, checksum = excluded.checksum;
END $$;


--
-- Name: put_text(text, bigint, text, bigint); Type: FUNCTION; Schema: limitr; Owner: -
--

CREATE FUNCTION limitr.put_text(text_name text, text_version bigint, content text, sum bigint) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
  INSERT INTO "limitr".texts AS t VALUES (text_name, text_version, content, sum # text_version)
  ON CONFLICT (name) DO UPDATE
     SET version = excluded.version, text = excluded.text, checksum = excluded.checksum;
END $$;


--
-- Name: remove_customers(text[], text[]); Type: FUNCTION; Schema: limitr; Owner: -
--

CREATE FUNCTION limitr.remove_customers(families text[], ids text[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
  DELETE FROM "limitr".alt_ids a USING unnest(families, ids) AS w(family, id)
   WHERE a.customer_family = w.family AND a.customer = w.id;
  DELETE FROM "limitr".requests r USING unnest(families, ids) AS w(family, id)
   WHERE r.family = w.family AND r.customer = w.id;
  DELETE FROM "limitr".customers c USING unnest(families, ids) AS w(family, id)
   WHERE c.family = w.family AND c.id = w.id;
END $$;


--
-- Name: renew_owner(bigint, bigint, bigint); Type: FUNCTION; Schema: limitr; Owner: -
--

CREATE FUNCTION limitr.renew_owner(my_epoch bigint, my_token bigint, lease bigint) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
  UPDATE "limitr".owner SET lease_until = "limitr".now_ms() + lease
   WHERE one = 1 AND epoch = my_epoch AND token = my_token;
  IF NOT FOUND THEN PERFORM "limitr".fenced(); END IF;
END $$;


--
-- Name: time_of(jsonb); Type: FUNCTION; Schema: limitr; Owner: -
--

CREATE FUNCTION limitr.time_of(ms jsonb) RETURNS timestamp with time zone
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
  SELECT CASE WHEN jsonb_typeof(ms) = 'number' AND abs(ms::numeric) < 9e15
              THEN to_timestamp(ms::numeric / 1000.0) END
$$;


--
-- Name: write_customers(bigint, text[], text[], text[], text[], text[], bigint[], bigint[], integer[], text[], text[], bigint[]); Type: FUNCTION; Schema: limitr; Owner: -
--

CREATE FUNCTION limitr.write_customers(group_number bigint, families text[], ids text[], full_ids text[], records text[], alt_lists text[], sums bigint[], first_requests bigint[], alt_of integer[], alt_families text[], alts text[], alt_sums bigint[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
  removed integer[];
  done integer[];
  others integer[];
BEGIN
  removed := array_positions(records, NULL);
  IF cardinality(removed) > 0 THEN
    PERFORM "limitr".remove_customers(
      ARRAY(SELECT families[i] FROM unnest(removed) i), ARRAY(SELECT ids[i] FROM unnest(removed) i));
  END IF;
  -- Most are there already, with the alternate IDs that they had.
  WITH updated AS (
    UPDATE "limitr".customers c
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
    PERFORM "limitr".put_alt_ids(
      ARRAY(SELECT families[i] FROM unnest(others) i), ARRAY(SELECT ids[i] FROM unnest(others) i),
      array_agg(a.family), array_agg(a.alt), array_agg(families[a.n]), array_agg(ids[a.n]),
      array_agg(a.sum))
      FROM unnest(alt_of, alt_families, alts, alt_sums) AS a(n, family, alt, sum)
     WHERE a.n IN (SELECT unnest(others));
    INSERT INTO "limitr".customers AS c (family, id, full_id, version, record, alt_ids, checksum)
    SELECT families[i], ids[i], full_ids[i], group_number, records[i], alt_lists[i]::text[],
           sums[i] # group_number
      FROM unnest(others) i
    ON CONFLICT (family, id) DO UPDATE
       SET full_id = excluded.full_id, version = excluded.version, record = excluded.record,
           alt_ids = excluded.alt_ids, checksum = excluded.checksum;
  END IF;
  DELETE FROM "limitr".requests r USING unnest(families, ids, first_requests) AS w(family, id, first)
   WHERE w.first > 0 AND r.family = w.family AND r.customer = w.id AND r.number < w.first;
END $$;


--
-- Name: write_part(text, text, text, text, bigint, text[], text[], bigint[]); Type: FUNCTION; Schema: limitr; Owner: -
--

CREATE FUNCTION limitr.write_part(my_family text, my_id text, my_full_id text, my_record text, sum bigint, alts text[], alt_families text[], alt_sums bigint[]) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
DECLARE
  had text[];
  now_version bigint := nextval('"limitr".versions');
BEGIN
  SELECT alt_ids INTO had FROM "limitr".customers WHERE family = my_family AND id = my_id;
  IF coalesce(had, '{}') <> alts THEN
    PERFORM "limitr".put_alt_ids(
      ARRAY[my_family], ARRAY[my_id], alt_families, alts,
      array_fill(my_family, ARRAY[cardinality(alts)]), array_fill(my_id, ARRAY[cardinality(alts)]),
      alt_sums);
  END IF;
  INSERT INTO "limitr".customers AS c (family, id, full_id, version, record, alt_ids, checksum)
  VALUES (my_family, my_id, my_full_id, now_version, my_record, alts, sum # now_version)
  ON CONFLICT (family, id) DO UPDATE
     SET full_id = excluded.full_id, version = excluded.version, record = excluded.record,
         alt_ids = excluded.alt_ids, checksum = excluded.checksum;
  RETURN now_version;
END $$;


SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: alt_ids; Type: TABLE; Schema: limitr; Owner: -
--

CREATE TABLE limitr.alt_ids (
    family text NOT NULL COLLATE pg_catalog."C",
    alt text NOT NULL COLLATE pg_catalog."C",
    customer_family text NOT NULL COLLATE pg_catalog."C",
    customer text NOT NULL COLLATE pg_catalog."C",
    checksum bigint NOT NULL
);


--
-- Name: customers; Type: TABLE; Schema: limitr; Owner: -
--

CREATE TABLE limitr.customers (
    family text NOT NULL COLLATE pg_catalog."C",
    id text NOT NULL COLLATE pg_catalog."C",
    full_id text COLLATE pg_catalog."C",
    version bigint NOT NULL,
    record text NOT NULL,
    alt_ids text[] NOT NULL COLLATE pg_catalog."C",
    checksum bigint NOT NULL
)
WITH (fillfactor='85');


--
-- Name: caps; Type: VIEW; Schema: limitr; Owner: -
--

CREATE VIEW limitr.caps AS
 SELECT c.family,
    c.id AS customer,
    m.key AS id,
    (m.value ->> 'credit'::text) AS credit,
    limitr.number_of((m.value -> 'value'::text)) AS value,
    limitr.number_of((m.value -> 'meter_value'::text)) AS meter_value,
    NULLIF((m.value -> 'scope'::text), 'null'::jsonb) AS scope,
    ((m.value -> 'shared'::text) = 'true'::jsonb) AS shared,
    NULLIF((m.value -> 'shared_with'::text), 'null'::jsonb) AS shared_with,
    ((m.value -> 'observe_only'::text) = 'true'::jsonb) AS observe_only,
    limitr.time_of((m.value -> 'started'::text)) AS started,
    (limitr.number_of((m.value -> 'started'::text)))::bigint AS started_ms,
    limitr.time_of((m.value -> 'last_reset'::text)) AS last_reset,
    (limitr.number_of((m.value -> 'last_reset'::text)))::bigint AS last_reset_ms,
    limitr.time_of((m.value -> 'expires_on'::text)) AS expires_on,
    (limitr.number_of((m.value -> 'expires_on'::text)))::bigint AS expires_on_ms,
    limitr.number_of((m.value -> 'seq'::text)) AS seq
   FROM (limitr.customers c
     CROSS JOIN LATERAL limitr.members((limitr.json_of(c.record) -> 'caps'::text)) m(key, value));


--
-- Name: damaged; Type: TABLE; Schema: limitr; Owner: -
--

CREATE TABLE limitr.damaged (
    kind text NOT NULL,
    id text NOT NULL,
    version bigint NOT NULL,
    content text NOT NULL,
    checksum bigint NOT NULL,
    found timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);


--
-- Name: grants; Type: VIEW; Schema: limitr; Owner: -
--

CREATE VIEW limitr.grants AS
 SELECT c.family,
    c.id AS customer,
    m.key AS id,
    (m.value ->> 'credit'::text) AS credit,
    (m.value ->> 'topup'::text) AS topup,
    limitr.number_of((m.value -> 'value'::text)) AS value,
    limitr.number_of((m.value -> 'starting_value'::text)) AS starting_value,
    limitr.number_of((m.value -> 'added'::text)) AS added,
    limitr.number_of((m.value -> 'drawn'::text)) AS drawn,
    limitr.number_of((m.value -> 'lost'::text)) AS lost,
    limitr.time_of((m.value -> 'granted_on'::text)) AS granted_on,
    (limitr.number_of((m.value -> 'granted_on'::text)))::bigint AS granted_on_ms,
    limitr.time_of((m.value -> 'last_reset'::text)) AS last_reset,
    (limitr.number_of((m.value -> 'last_reset'::text)))::bigint AS last_reset_ms,
    limitr.time_of((m.value -> 'expires_on'::text)) AS expires_on,
    (limitr.number_of((m.value -> 'expires_on'::text)))::bigint AS expires_on_ms,
    limitr.number_of((m.value -> 'seq'::text)) AS seq
   FROM (limitr.customers c
     CROSS JOIN LATERAL limitr.members((limitr.json_of(c.record) -> 'grants'::text)) m(key, value));


--
-- Name: holds; Type: VIEW; Schema: limitr; Owner: -
--

CREATE VIEW limitr.holds AS
 SELECT c.family,
    c.id AS customer,
    e.key AS entitlement,
    m.key AS id,
    limitr.number_of((m.value -> 'value'::text)) AS value,
    limitr.number_of((m.value -> 'overhead'::text)) AS overhead,
    limitr.time_of((m.value -> 'expires'::text)) AS expires,
    (limitr.number_of((m.value -> 'expires'::text)))::bigint AS expires_ms,
    NULLIF((m.value -> 'basis'::text), 'null'::jsonb) AS basis,
    (m.value ->> 'segment'::text) AS segment
   FROM ((limitr.customers c
     CROSS JOIN LATERAL limitr.members((limitr.json_of(c.record) -> 'meters'::text)) e(key, value))
     CROSS JOIN LATERAL limitr.members((e.value -> 'holds'::text)) m(key, value));


--
-- Name: limitr; Type: TABLE; Schema: limitr; Owner: -
--

CREATE TABLE limitr.limitr (
    key text NOT NULL,
    value text NOT NULL
);


--
-- Name: meters; Type: VIEW; Schema: limitr; Owner: -
--

CREATE VIEW limitr.meters AS
 SELECT c.family,
    c.id AS customer,
    m.key AS entitlement,
    (m.value ->> 'credit'::text) AS credit,
    limitr.number_of((m.value -> 'value'::text)) AS value,
    limitr.number_of((m.value -> 'overhead'::text)) AS overhead,
    limitr.time_of((m.value -> 'started'::text)) AS started,
    (limitr.number_of((m.value -> 'started'::text)))::bigint AS started_ms,
    limitr.number_of((m.value -> 'ewma_rate'::text)) AS rate
   FROM (limitr.customers c
     CROSS JOIN LATERAL limitr.members((limitr.json_of(c.record) -> 'meters'::text)) m(key, value));


--
-- Name: owner; Type: TABLE; Schema: limitr; Owner: -
--

CREATE TABLE limitr.owner (
    one integer NOT NULL,
    epoch bigint NOT NULL,
    token bigint NOT NULL,
    host text NOT NULL,
    process bigint NOT NULL,
    since bigint NOT NULL,
    lease_until bigint NOT NULL,
    last_group bigint NOT NULL,
    was_shared boolean NOT NULL,
    checksum bigint NOT NULL,
    CONSTRAINT owner_one_check CHECK ((one = 1))
);


--
-- Name: requests; Type: TABLE; Schema: limitr; Owner: -
--

CREATE TABLE limitr.requests (
    family text NOT NULL COLLATE pg_catalog."C",
    customer text NOT NULL COLLATE pg_catalog."C",
    number bigint NOT NULL,
    id text NOT NULL,
    fingerprint bigint NOT NULL,
    answer text NOT NULL,
    at bigint NOT NULL,
    checksum bigint NOT NULL
);


--
-- Name: sharers; Type: TABLE; Schema: limitr; Owner: -
--

CREATE TABLE limitr.sharers (
    id bigint NOT NULL,
    host text NOT NULL,
    process bigint NOT NULL,
    since bigint NOT NULL,
    lease_until bigint NOT NULL
);


--
-- Name: texts; Type: TABLE; Schema: limitr; Owner: -
--

CREATE TABLE limitr.texts (
    name text NOT NULL,
    version bigint NOT NULL,
    text text NOT NULL,
    checksum bigint NOT NULL
);


--
-- Name: versions; Type: SEQUENCE; Schema: limitr; Owner: -
--

CREATE SEQUENCE limitr.versions
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: written; Type: TABLE; Schema: limitr; Owner: -
--

CREATE TABLE limitr.written (
    sharer bigint NOT NULL,
    number bigint NOT NULL,
    versions bigint[] NOT NULL
);


--
-- Data for Name: alt_ids; Type: TABLE DATA; Schema: limitr; Owner: -
--

COPY limitr.alt_ids (family, alt, customer_family, customer, checksum) FROM stdin;
acme.example	acme.example	acme	acme	1782490923905055978
ann@example.com	ann@example.com	ann	ann	-6172366087847457821
x	Zoë "Z" \\ {x}\n	ann	ann	6239838358489907288
new@example.com	new@example.com	new	new	-4875563975519668588
ann@example.org	ann@example.org	ann	ann	-8251575472895849475
\.


--
-- Data for Name: customers; Type: TABLE DATA; Schema: limitr; Owner: -
--

COPY limitr.customers (family, id, full_id, version, record, alt_ids, checksum) FROM stdin;
inherits	inherits	\N	215825180	{"id":"inherits","plan":"","type":"user","label":"User","refs":["acme"],"alt_ids":[],"meters":{"chat":{"credit":"tok","started":1772355600000,"value":10,"overhead":0.02,"history":[{"ts":1772356500000,"delta":2},{"ts":1772356800000,"delta":3},{"ts":1772357100000,"delta":4}],"ewma_rate":5.461333333333334e-06,"governor_tokens":null,"governor_last_refill":null,"holds":null,"estimates":null},"ai_tokens":{"credit":"tok","started":1772355600000,"value":0,"overhead":null,"history":[],"ewma_rate":null,"governor_tokens":null,"governor_last_refill":null,"holds":null,"estimates":null},"storage":{"credit":"space","started":1772355600000,"value":0,"overhead":null,"history":[],"ewma_rate":null,"governor_tokens":null,"governor_last_refill":null,"holds":null,"estimates":null},"jobs":{"credit":"tok","started":1772355600000,"value":0,"overhead":null,"history":[],"ewma_rate":null,"governor_tokens":null,"governor_last_refill":null,"holds":null,"estimates":null},"guess":{"credit":"tok","started":1772355600000,"value":0,"overhead":null,"history":[],"ewma_rate":null,"governor_tokens":null,"governor_last_refill":null,"holds":null,"estimates":{"small":{"samples":5,"alpha":0.1,"value_mean":20,"value_var":0,"overhead_mean":0.04,"overhead_var":0,"per_basis":true,"source":"local","updated":1772357100000}}},"seats":{"credit":"step","started":1772355600000,"value":0,"overhead":null,"history":[],"ewma_rate":null,"governor_tokens":null,"governor_last_refill":null,"holds":null,"estimates":null}},"overrides":{},"grants":{"18f1648a957c77ad-2":{"id":"18f1648a957c77ad-2","credit":"tok","topup":"monthly","created_on":1772355600000,"granted_on":1772356800000,"starting_value":30,"value":52.5,"resets":true,"reset_inc":600000,"reset_sch":null,"last_reset":null,"reset_mode":"rollover","rollover_min":1,"rollover_max":40,"rollover_pct":0.5,"max_balance":100,"reset_catchup_cap":3,"expires_on":null,"seq":1,"drawn":0,"added":60,"lost":37.5}},"caps":{},"metadata":null,"format":1}	{}	-805418300348942410
élan	élan	\N	215825180	{"id":"élan","plan":"a plan that is no more","type":"user","label":"User","refs":[],"alt_ids":[],"meters":{"reports":{"credit":"tok","started":1772355600000,"value":3,"overhead":null,"history":[],"ewma_rate":null,"governor_tokens":null,"governor_last_refill":null,"holds":null,"estimates":null,"x":[1]}},"overrides":{},"grants":{},"caps":{},"metadata":null,"format":1,"made_by":{"another":"program"}}	{}	-1480415504092207049
acme	acme	\N	267534414	{"id":"acme","plan":"pro","type":"org","label":"Acme","refs":[],"alt_ids":["acme.example"],"meters":{"chat":{"credit":"tok","started":1772355600000,"value":0,"overhead":null,"history":[],"ewma_rate":null,"governor_tokens":null,"governor_last_refill":null,"holds":null,"estimates":null},"ai_tokens":{"credit":"tok","started":1772355600000,"value":0,"overhead":null,"history":[],"ewma_rate":null,"governor_tokens":null,"governor_last_refill":null,"holds":null,"estimates":null},"storage":{"credit":"space","started":1772355600000,"value":0,"overhead":null,"history":[],"ewma_rate":null,"governor_tokens":null,"governor_last_refill":null,"holds":null,"estimates":null},"jobs":{"credit":"tok","started":1772355600000,"value":0,"overhead":null,"history":[],"ewma_rate":null,"governor_tokens":null,"governor_last_refill":null,"holds":null,"estimates":null},"guess":{"credit":"tok","started":1772355600000,"value":0,"overhead":null,"history":[],"ewma_rate":null,"governor_tokens":null,"governor_last_refill":null,"holds":null,"estimates":null},"seats":{"credit":"step","started":1772355600000,"value":10,"overhead":0,"history":[{"ts":1772357100000,"delta":1},{"ts":1772357100000,"delta":2},{"ts":1772359200000,"delta":3}],"ewma_rate":1.5452342857142857e-06,"governor_tokens":null,"governor_last_refill":null,"holds":null,"estimates":{"all":{"samples":1,"alpha":0.1,"value_mean":2,"value_var":0,"overhead_mean":0,"overhead_var":0,"per_basis":false,"source":"local","updated":1772357100000}}}},"overrides":{"seats":{"credit":"step","mode":"soft","value":3,"increment":2,"minimum":null,"hard_trailing":false,"grants_apply":true,"resets":false,"reset_inc":null,"reset_sch":"weekly:mon","override_expires_on":null,"governor_enabled":false,"governor_capacity":null,"governor_refill_rate":null,"ewma_alpha":0.2}},"grants":{},"caps":{"18f1648a957c77ad-5":{"id":"18f1648a957c77ad-5","credit":"rune","value":1000000,"meter_value":24.6325,"exchangeable":true,"overage_only":false,"ignore_grants":false,"observe_only":true,"overhead_cost":false,"follow_decrements":false,"hard_trailing":false,"shared":true,"shared_with":["user"],"scope":null,"started":1772355600000,"created_on":1772355600000,"resets":false,"reset_inc":null,"reset_sch":null,"last_reset":null,"expires_on":null,"seq":1}},"metadata":null,"format":1}	{acme.example}	-8109000935295924984
acme	user{acme}7	\N	267534408	{"id":"user{acme}7","plan":"pro","type":"user","label":"User","refs":["acme","nobody"],"alt_ids":[],"meters":{"chat":{"credit":"tok","started":1772355600000,"value":0,"overhead":null,"history":[],"ewma_rate":null,"governor_tokens":null,"governor_last_refill":null,"holds":null,"estimates":null},"ai_tokens":{"credit":"tok","started":1772355600000,"value":0,"overhead":null,"history":[],"ewma_rate":null,"governor_tokens":null,"governor_last_refill":null,"holds":null,"estimates":null},"storage":{"credit":"space","started":1772355600000,"value":0,"overhead":null,"history":[],"ewma_rate":null,"governor_tokens":null,"governor_last_refill":null,"holds":null,"estimates":null},"jobs":{"credit":"tok","started":1772355600000,"value":0,"overhead":null,"history":[],"ewma_rate":null,"governor_tokens":null,"governor_last_refill":null,"holds":null,"estimates":null},"guess":{"credit":"tok","started":1772355600000,"value":0,"overhead":null,"history":[],"ewma_rate":null,"governor_tokens":null,"governor_last_refill":null,"holds":null,"estimates":null},"seats":{"credit":"step","started":1772355600000,"value":0,"overhead":null,"history":[],"ewma_rate":null,"governor_tokens":null,"governor_last_refill":null,"holds":null,"estimates":null}},"overrides":{},"grants":{"18f1648a957c77ad-1":{"id":"18f1648a957c77ad-1","credit":"tok","topup":"monthly","created_on":1772355600000,"granted_on":1772355600000,"starting_value":30,"value":30,"resets":true,"reset_inc":600000,"reset_sch":null,"last_reset":null,"reset_mode":"rollover","rollover_min":1,"rollover_max":40,"rollover_pct":0.5,"max_balance":100,"reset_catchup_cap":3,"expires_on":null,"seq":1,"drawn":0,"added":0,"lost":0}},"caps":{},"metadata":null,"format":1}	{}	-5463530646277612883
new	new	\N	267534413	{"id":"new","plan":"free","type":"user","label":"New","refs":[],"alt_ids":["new@example.com"],"meters":{"chat":{"credit":"tok","started":1772359200000,"value":1.25,"overhead":0.0025,"history":[{"ts":1772359200000,"delta":1.25}],"ewma_rate":0,"governor_tokens":null,"governor_last_refill":null,"holds":null,"estimates":null}},"overrides":{},"grants":{},"caps":{},"metadata":null,"format":1}	{new@example.com}	4049048578832351625
ann	ann	\N	267534414	{"id":"ann","plan":"pro","type":"user","label":"User","refs":["acme"],"alt_ids":["ann@example.com","Zoë \\"Z\\" \\\\ {x}\\n","ann@example.org"],"meters":{"chat":{"credit":"tok","started":1772355600000,"value":165,"overhead":0.33,"history":[{"ts":1772356800000,"delta":33},{"ts":1772357100000,"delta":34},{"ts":1772359200000,"delta":5}],"ewma_rate":5.2077257142857154e-05,"governor_tokens":null,"governor_last_refill":null,"holds":{"18f1648a957c77ad-6":{"value":3,"overhead":0.006,"expires":1774949100000,"basis":null,"segment":"all"}},"estimates":null},"ai_tokens":{"credit":"tok","started":1772355600000,"value":108.25,"overhead":2.514,"history":[{"ts":1772356800000,"delta":30.375},{"ts":1772357100000,"delta":40.5},{"ts":1772359200000,"delta":7}],"ewma_rate":4.4903466666666675e-05,"governor_tokens":null,"governor_last_refill":null,"holds":null,"estimates":null},"storage":{"credit":"space","started":1772355600000,"value":5.5,"overhead":0,"history":[{"ts":1772356500000,"delta":1.5},{"ts":1772356800000,"delta":-0.5},{"ts":1772357100000,"delta":1.5}],"ewma_rate":1.8853333333333338e-06,"governor_tokens":null,"governor_last_refill":null,"holds":null,"estimates":null},"jobs":{"credit":"tok","started":1772355600000,"value":30,"overhead":0.06,"history":[{"ts":1772356500000,"delta":6},{"ts":1772356800000,"delta":6},{"ts":1772357100000,"delta":6}],"ewma_rate":1.1808000000000003e-05,"governor_tokens":14,"governor_last_refill":1772357100000,"holds":null,"estimates":null},"guess":{"credit":"tok","started":1772355600000,"value":0,"overhead":null,"history":[],"ewma_rate":null,"governor_tokens":null,"governor_last_refill":null,"holds":{"18f1648a957c77ad-7":{"value":43.660826049,"overhead":0.087321652,"expires":1772443500000,"basis":4,"segment":"small"}},"estimates":{"small":{"samples":5,"alpha":0.1,"value_mean":10.543333333333335,"value_var":0.08417777777777763,"overhead_mean":0.021086666666666667,"overhead_var":3.3671111111111204e-07,"per_basis":true,"source":"local","updated":1772357100000}}},"seats":{"credit":"step","started":1772355600000,"value":0,"overhead":null,"history":[],"ewma_rate":null,"governor_tokens":null,"governor_last_refill":null,"holds":null,"estimates":null}},"overrides":{"ai_tokens":{"credit":"tok","mode":"hard","value":500,"increment":1,"minimum":null,"hard_trailing":false,"grants_apply":true,"resets":true,"reset_inc":null,"reset_sch":"monthly:1","override_expires_on":3544711200000,"governor_enabled":false,"governor_capacity":null,"governor_refill_rate":null,"ewma_alpha":0.2}},"grants":{"18f1648a957c77ad-0":{"id":"18f1648a957c77ad-0","credit":"tok","topup":"monthly","created_on":1772355600000,"granted_on":1772358600000,"starting_value":30,"value":48.8125,"resets":true,"reset_inc":600000,"reset_sch":null,"last_reset":null,"reset_mode":"rollover","rollover_min":1,"rollover_max":40,"rollover_pct":0.5,"max_balance":100,"reset_catchup_cap":3,"expires_on":null,"seq":1,"drawn":55,"added":150,"lost":76.1875},"18f1648a957c77ad-3":{"id":"18f1648a957c77ad-3","credit":"space","topup":"bought","created_on":1772355600000,"granted_on":1772355600000,"starting_value":20,"value":20,"resets":false,"reset_inc":null,"reset_sch":null,"last_reset":null,"reset_mode":"hard","rollover_min":null,"rollover_max":null,"rollover_pct":null,"max_balance":null,"reset_catchup_cap":null,"expires_on":1774947600000,"seq":2,"drawn":0,"added":0,"lost":0},"18f1648a957c77ad-4":{"id":"18f1648a957c77ad-4","credit":"tok","topup":"seasonal","created_on":1772355600000,"granted_on":1772355600000,"starting_value":5,"value":0,"resets":true,"reset_inc":null,"reset_sch":"quarterly:1","last_reset":1767225600000,"reset_mode":"add","rollover_min":null,"rollover_max":null,"rollover_pct":null,"max_balance":null,"reset_catchup_cap":null,"expires_on":null,"seq":3,"drawn":10,"added":5,"lost":0}},"caps":{"all":{"id":"all","credit":"rune","value":50,"meter_value":4.5325,"exchangeable":true,"overage_only":false,"ignore_grants":false,"observe_only":false,"overhead_cost":false,"follow_decrements":false,"hard_trailing":false,"shared":false,"shared_with":null,"scope":null,"started":1772355600000,"created_on":1772355600000,"resets":false,"reset_inc":null,"reset_sch":null,"last_reset":null,"expires_on":null,"seq":1},"tokens":{"id":"tokens","credit":"tok","value":900,"meter_value":273.25,"exchangeable":false,"overage_only":false,"ignore_grants":false,"observe_only":false,"overhead_cost":false,"follow_decrements":true,"hard_trailing":false,"shared":false,"shared_with":null,"scope":["ai_tokens","chat"],"started":1772355600000,"created_on":1772355600000,"resets":true,"reset_inc":3600000,"reset_sch":null,"last_reset":null,"expires_on":3544711200000,"seq":2},"stretch:charged":{"id":"stretch:charged","credit":"rune","value":1e+15,"meter_value":0,"exchangeable":true,"overage_only":true,"ignore_grants":true,"observe_only":true,"overhead_cost":false,"follow_decrements":false,"hard_trailing":false,"shared":false,"shared_with":null,"scope":null,"started":1772355600000,"created_on":1772355600000,"resets":false,"reset_inc":null,"reset_sch":null,"last_reset":null,"expires_on":null,"seq":3},"stretch:costs":{"id":"stretch:costs","credit":"rune","value":1e+15,"meter_value":2.404,"exchangeable":true,"overage_only":false,"ignore_grants":false,"observe_only":true,"overhead_cost":true,"follow_decrements":false,"hard_trailing":false,"shared":false,"shared_with":null,"scope":null,"started":1772355600000,"created_on":1772355600000,"resets":false,"reset_inc":null,"reset_sch":null,"last_reset":null,"expires_on":null,"seq":4}},"metadata":{"limitr_voucher":"spring","limitr_voucher_expires":3544711200000,"limitr_voucher_runes":300.5,"nested":{"list":[1,2.5,null,"ü"]}},"format":1}	{ann@example.com,"Zoë \\"Z\\" \\\\ {x}\n",ann@example.org}	4909651513937181570
\.


--
-- Data for Name: damaged; Type: TABLE DATA; Schema: limitr; Owner: -
--

COPY limitr.damaged (kind, id, version, content, checksum, found) FROM stdin;
\.


--
-- Data for Name: limitr; Type: TABLE DATA; Schema: limitr; Owner: -
--

COPY limitr.limitr (key, value) FROM stdin;
schema	1
about	a store of limitr: docs/stores.md
\.


--
-- Data for Name: owner; Type: TABLE DATA; Schema: limitr; Owner: -
--

COPY limitr.owner (one, epoch, token, host, process, since, lease_until, last_group, was_shared, checksum) FROM stdin;
1	2	0	kept	819	1772359200000	0	267534414	f	8480978062547298173
\.


--
-- Data for Name: requests; Type: TABLE DATA; Schema: limitr; Owner: -
--

COPY limitr.requests (family, customer, number, id, fingerprint, answer, at, checksum) FROM stdin;
ann	ann	1	make ann	-3337493391853321512	true	1772355600000	-4627940538847993418
ann	ann	2	buy	-6387680541324623790	true	1772355600000	7719762699398557995
ann	ann	3	cap	7819593690374083076	"tokens"	1772355600000	-5077444562047305975
ann	ann	4	chat 0	3100334958722632742	{"allowed":true,"repeated":false,"reason":null,"cap":null,"value":30,"limit":100,"remaining":70,"resets":1772442000000,"overage":null,"grant_value_applied":null,"overhead":0.06,"price_diff":0,"overage_price":null}	1772355900000	2714656560382464301
ann	ann	5	chat 1	6322726973103706631	{"allowed":true,"repeated":false,"reason":null,"cap":null,"value":61,"limit":100,"remaining":39,"resets":1772442000000,"overage":null,"grant_value_applied":null,"overhead":0.062,"price_diff":0,"overage_price":null}	1772356200000	4288998521995377412
ann	ann	6	chat 2	-8074197235120682284	{"allowed":true,"repeated":false,"reason":null,"cap":null,"value":93,"limit":100,"remaining":7,"resets":1772442000000,"overage":null,"grant_value_applied":null,"overhead":0.064,"price_diff":0,"overage_price":null}	1772356500000	4480717072139314931
ann	ann	7	chat 3	-7321745892071233043	{"allowed":true,"repeated":false,"reason":null,"cap":null,"value":126,"limit":100,"remaining":-26,"resets":1772442000000,"overage":0,"grant_value_applied":26,"overhead":0.066,"price_diff":0.26,"overage_price":0}	1772356800000	3451488433517862659
ann	ann	8	chat 4	-6194092015011441646	{"allowed":true,"repeated":false,"reason":null,"cap":null,"value":160,"limit":100,"remaining":-60,"resets":1772442000000,"overage":0,"grant_value_applied":34,"overhead":0.068,"price_diff":0.34,"overage_price":0}	1772357100000	-6081621740656477810
ann	ann	9	hold	1320175658225052521	"18f1648a957c77ad-6"	1772357100000	-2455261115138666309
ann	ann	10	tokens	-593652127374991705	{"allowed":true,"repeated":false,"reason":null,"cap":null,"value":108.25,"limit":500,"remaining":391.75,"resets":1775001600000,"overage":null,"grant_value_applied":null,"overhead":0.014,"price_diff":0,"overage_price":null}	1772359200000	2808291068946388356
ann	ann	11	the last one	-8718979990121293720	{"allowed":true,"repeated":false,"reason":null,"cap":null,"value":165,"limit":100,"remaining":-65,"resets":1772442000000,"overage":0,"grant_value_applied":5,"overhead":0.01,"price_diff":0.05,"overage_price":0}	1772359200000	1579072924046509572
\.


--
-- Data for Name: sharers; Type: TABLE DATA; Schema: limitr; Owner: -
--

COPY limitr.sharers (id, host, process, since, lease_until) FROM stdin;
\.


--
-- Data for Name: texts; Type: TABLE DATA; Schema: limitr; Owner: -
--

COPY limitr.texts (name, version, text, checksum) FROM stdin;
estimates	215825180	{"seats":{"all":{"samples":1,"alpha":0.1,"value_mean":2,"value_var":0,"overhead_mean":0,"overhead_var":0,"per_basis":false,"source":"local","updated":1772357100000}},"guess":{"small":{"samples":10,"alpha":0.1,"value_mean":15.271666666666665,"value_var":22.399225,"overhead_mean":0.030543333333333336,"overhead_var":8.959690000000001e-05,"per_basis":true,"source":"local","updated":1772357100000}}}	2599714774047489477
policy	267534407	{"policy":{"estimate_min_samples":2,"request_window":"7days","exchange":{"eur":{"value":1.14},"coin":{"value":0.01,"currency":"eur"}},"credits":{"tok":{"price":{"amount":0.01},"overhead_cost":0.002},"space":{"stof_units":"GB","price":{"amount":0.25}},"step":{"pricing_model":"tiered","tiers":[{"up_to":10,"price":{"amount":2}},{"price":{"amount":1}}]}},"plans":{"free":{"default":true,"entitlements":{"chat":{"limit":{"credit":"tok","value":1000,"mode":"observe"}}}},"pro":{"entitlements":{"chat":{"limit":{"credit":"tok","value":100,"mode":"soft","resets":true,"reset_inc":"1day"}},"ai_tokens":{"limit":{"credit":"tok","value":1000,"resets":true,"reset_sch":"monthly:1"}},"storage":{"limit":{"credit":"space","value":"100GB","minimum":0}},"jobs":{"limit":{"credit":"tok","value":50,"governor_enabled":true,"governor_capacity":20,"governor_refill_rate":0.001}},"guess":{"estimate_basis":"input","estimate_segment":"model","limit":{"credit":"tok","value":1000}},"seats":{"scope":"org","limit":{"credit":"step","value":5,"mode":"soft"}}},"topups":{"monthly":{"credit":"tok","value":30,"included":true,"included_scopes":["user"],"resets":true,"reset_inc":"10min","reset_mode":"rollover","rollover_pct":0.5,"rollover_min":1,"rollover_max":40,"max_balance":100,"reset_catchup_cap":3},"bought":{"credit":"space","value":"20GB","expires_after":"30days"},"seasonal":{"credit":"tok","value":5,"resets":true,"reset_sch":"quarterly:1","reset_mode":"add"}}}}}}	166658176826435155
\.


--
-- Data for Name: written; Type: TABLE DATA; Schema: limitr; Owner: -
--

COPY limitr.written (sharer, number, versions) FROM stdin;
\.


--
-- Name: versions; Type: SEQUENCE SET; Schema: limitr; Owner: -
--

SELECT pg_catalog.setval('limitr.versions', 1, false);


--
-- Name: alt_ids alt_ids_pkey; Type: CONSTRAINT; Schema: limitr; Owner: -
--

ALTER TABLE ONLY limitr.alt_ids
    ADD CONSTRAINT alt_ids_pkey PRIMARY KEY (family, alt);


--
-- Name: customers customers_pkey; Type: CONSTRAINT; Schema: limitr; Owner: -
--

ALTER TABLE ONLY limitr.customers
    ADD CONSTRAINT customers_pkey PRIMARY KEY (family, id);


--
-- Name: limitr limitr_pkey; Type: CONSTRAINT; Schema: limitr; Owner: -
--

ALTER TABLE ONLY limitr.limitr
    ADD CONSTRAINT limitr_pkey PRIMARY KEY (key);


--
-- Name: owner owner_pkey; Type: CONSTRAINT; Schema: limitr; Owner: -
--

ALTER TABLE ONLY limitr.owner
    ADD CONSTRAINT owner_pkey PRIMARY KEY (one);


--
-- Name: requests requests_pkey; Type: CONSTRAINT; Schema: limitr; Owner: -
--

ALTER TABLE ONLY limitr.requests
    ADD CONSTRAINT requests_pkey PRIMARY KEY (family, customer, number);


--
-- Name: sharers sharers_pkey; Type: CONSTRAINT; Schema: limitr; Owner: -
--

ALTER TABLE ONLY limitr.sharers
    ADD CONSTRAINT sharers_pkey PRIMARY KEY (id);


--
-- Name: texts texts_pkey; Type: CONSTRAINT; Schema: limitr; Owner: -
--

ALTER TABLE ONLY limitr.texts
    ADD CONSTRAINT texts_pkey PRIMARY KEY (name);


--
-- Name: written written_pkey; Type: CONSTRAINT; Schema: limitr; Owner: -
--

ALTER TABLE ONLY limitr.written
    ADD CONSTRAINT written_pkey PRIMARY KEY (sharer, number);


--
-- Name: alt_ids_by_customer; Type: INDEX; Schema: limitr; Owner: -
--

CREATE INDEX alt_ids_by_customer ON limitr.alt_ids USING btree (customer_family, customer);


--
-- Name: customers_by_id; Type: INDEX; Schema: limitr; Owner: -
--

CREATE INDEX customers_by_id ON limitr.customers USING btree (id);


--
-- PostgreSQL database dump complete
--


