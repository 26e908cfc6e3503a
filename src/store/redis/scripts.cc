// SPDX-License-Identifier: Apache-2.0
#include "store/redis/scripts.h"

#include <string_view>

namespace limitr::store::redis {
namespace {

// Before each script. KEYS[1] is the key `owner`, ARGV[1] the prefix.
constexpr std::string_view common = R"lua(
local owner, prefix = KEYS[1], ARGV[1]
local damaged_version = '4503599627370495'
local day = 86400000

local function tag_of(id)
  local open = string.find(id, '{', 1, true)
  local close = open and string.find(id, '}', open + 1, true)
  if close and close > open + 1 then return string.sub(id, open + 1, close - 1) end
  close = string.find(id, '}', 1, true)
  return close and string.sub(id, 1, close - 1) or id
end

local function key(kind, id) return prefix .. ':{' .. tag_of(id) .. '}:' .. kind .. ':' .. id end
local function named(name) return prefix .. ':' .. name end
local function digits(number) return string.format('%.0f', number) end

local function microseconds()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end
local function milliseconds() return math.floor(microseconds() / 1000) end

-- A key of ours of another type, which somebody else has put there, is as good as damaged.
local function text_at(k)
  local text = redis.pcall('GET', k)
  if type(text) == 'table' then return '?' end
  return text
end

local function requests_of(id)
  local requests = redis.pcall('ZRANGE', key('q', id), 0, -1)
  if requests.err then return '?' end
  return requests
end
)lua";

// Of whoever writes customers.
constexpr std::string_view writing = R"lua(
-- The version of a customer's row and its alternate IDs; version 0 where there is none.
local function head_of(id)
  local k = key('c', id)
  local row = redis.pcall('GETRANGE', k, 0, 63)
  if row == '' then return '0', '' end
  if type(row) == 'table' then return damaged_version, '' end
  local version, size, at = string.match(row, '^(%d+) %d+ (%d+)\n()')
  if not version then return damaged_version, '' end
  if size == '0' then return version, '' end
  return version, redis.call('GETRANGE', k, at - 1, at - 2 + size)
end

local function each_alt(alts)
  local at = 1
  return function()
    if at > #alts then return nil end
    local size, from = string.match(alts, '^(%d+):()', at)
    if not size then return nil end
    at = from + size + 16
    return string.sub(alts, from, from + size - 1), string.sub(alts, from + size, at - 1)
  end
end

local scans = {}

local function find_scans(flag)
  if not flag or flag == '0' then return end
  local now = milliseconds()
  local all = redis.call('HGETALL', named('scans'))
  for i = 1, #all, 2 do
    if tonumber(all[i + 1]) > now then
      scans[#scans + 1] = all[i]
    else
      redis.call('DEL', named('s:' .. all[i]), named('s:' .. all[i] .. ':ids'))
      redis.call('HDEL', named('scans'), all[i])
    end
  end
  redis.call('HSET', owner, 'scans', #scans)
end

local function keep_for_scans(id, version, is_removed)
  for _, scan in ipairs(scans) do
    local kept = named('s:' .. scan)
    if redis.call('HEXISTS', kept, id) == 0 then
      local was = ''
      if version ~= '0' then
        was = cmsgpack.pack({text_at(key('c', id)), requests_of(id)})
      end
      redis.call('HSET', kept, id, was)
    end
    if is_removed then redis.call('ZADD', kept .. ':ids', 0, id) end
  end
end

local customers, requests = 0, 0  -- how many more there are

local function drop_requests(q)
  local there = redis.pcall('ZCARD', q)
  if type(there) == 'number' then requests = requests - there end
  redis.call('DEL', q)
end

local function drop_alts(id, alts)
  for alt in each_alt(alts) do
    local k = named('a:' .. alt)
    local row = text_at(k)
    if row and string.sub(row, 18) == id then redis.call('DEL', k) end
  end
end

local function remove(id, version, alts)
  if version == '0' then return end
  keep_for_scans(id, version, true)
  customers = customers - 1
  redis.call('DEL', key('c', id))
  redis.call('ZREM', named('ids'), id)
  drop_requests(key('q', id))
  drop_alts(id, alts)
end

-- write: what take_write() gave; version and alts: of the row that is there.
local function put(write, version, alts, new_version)
  local id = write.id
  keep_for_scans(id, version, false)
  redis.call('SET', key('c', id), new_version .. ' ' ..
    digits((write.sum + new_version) % 4503599627370496) .. ' ' .. #write.alts .. '\n' ..
    write.alts .. write.record)
  if version == '0' then
    redis.call('ZADD', named('ids'), 0, id)
    customers = customers + 1
    drop_requests(key('q', id))
  end
  if alts ~= write.alts then
    drop_alts(id, alts)
    for alt, sum in each_alt(write.alts) do redis.call('SET', named('a:' .. alt), sum .. ' ' .. id) end
  end
  if write.first == '0' and #write.fresh == 0 then return end
  local q = key('q', id)
  if type(redis.pcall('ZCARD', q)) == 'table' then redis.call('DEL', q) end
  requests = requests - redis.call('ZREMRANGEBYSCORE', q, '-inf', '(' .. write.first)
  for i = 1, #write.fresh, 2 do
    local number = write.fresh[i]
    requests = requests - redis.call('ZREMRANGEBYSCORE', q, number, number)
    requests = requests + redis.call('ZADD', q, number, write.fresh[i + 1])
  end
end

local function take_write(take, id)
  local write = {id = id, op = take()}
  if write.op ~= '1' then return write end
  write.sum, write.alts, write.record, write.first = take(), take(), take(), take()
  write.fresh = {}
  for i = 1, 2 * take() do write.fresh[i] = take() end
  return write
end

local function count(of_customers, of_requests)
  redis.call('HSET', owner, 'customers', digits(of_customers + customers),
    'requests', digits(of_requests + requests))
end
)lua";

constexpr std::string_view check = R"lua(
local k = named('check')
redis.call('DEL', k)
redis.call('SET', k, 'x')
redis.call('GET', k)
redis.call('GETRANGE', k, 0, 1)
redis.call('EXISTS', k)
redis.call('DEL', k)
redis.call('HSET', k, 'f', '1')
redis.call('HINCRBY', k, 'f', 1)
redis.call('HGET', k, 'f')
redis.call('HMGET', k, 'f')
redis.call('HGETALL', k)
redis.call('HEXISTS', k, 'f')
redis.call('HLEN', k)
redis.call('HDEL', k, 'f')
redis.call('ZADD', k, 0, 'm')
redis.call('ZCARD', k)
redis.call('ZRANGE', k, 0, -1)
redis.call('ZRANGEBYLEX', k, '-', '+', 'LIMIT', 0, 1)
redis.call('ZREMRANGEBYSCORE', k, 1, 1)
redis.call('ZREM', k, 'm')
redis.call('RPUSH', k, 'e')
redis.call('LRANGE', k, 0, -1)
redis.call('DEL', k)
redis.call('TIME')
return {'ok'}
)lua";

// ARGV: access, who holds it if it is to be owned, writer, lease, host, process, since.
constexpr std::string_view open = R"lua(
local access, next_holder, writer, lease = unpack(ARGV, 2, 5)
local o = redis.call('HMGET', owner, 'schema', 'holder', 'until', 'host', 'process', 'since')
if o[1] and o[1] ~= '1' then return {'schema', o[1]} end
if not o[1] then
  if redis.call('EXISTS', owner, named('ids')) > 0 then return {'headless'} end
  if access == 'read' then return {'missing'} end
  redis.call('HSET', owner, 'schema', '1', 'holder', '', 'until', '0', 'epoch', '0',
    'last_group', '0', 'customers', '0', 'requests', '0', 'scans', '0', 'scan', '0')
end
redis.call('ZCARD', named('ids'))
local now = milliseconds()
local is_ours = o[2] and string.sub(o[2], 1, #writer + 1) == writer .. ':'
if access ~= 'read' and not is_ours and o[3] and tonumber(o[3]) > now then
  return {'owned', o[4], o[5], o[6]}
end
if access ~= 'own' and is_ours then redis.call('HSET', owner, 'until', '0') end
local sharers = redis.call('HGETALL', named('sharers'))
for i = 1, #sharers, 2 do
  local ends, process, since, host = string.match(sharers[i + 1], '^(%d+) (%-?%d+) (%-?%d+) (.*)$')
  if sharers[i] == writer then
    if access ~= 'share' and tonumber(ends) > now then
      redis.call('HSET', named('sharers'), writer, digits(now) .. string.match(sharers[i + 1], ' .*$'))
    end
  elseif access ~= 'read' and tonumber(ends) + day < now then
    redis.call('HDEL', named('sharers'), sharers[i])
    redis.call('DEL', named('w:' .. sharers[i]))
  elseif access == 'own' and tonumber(ends) > now then
    return {'shared', host, process, since}
  end
end
if access == 'own' then
  redis.call('DEL', named('stage'))
  redis.call('HINCRBY', owner, 'epoch', 1)
  redis.call('HSET', owner, 'holder', next_holder, 'host', ARGV[6], 'process', ARGV[7],
    'since', ARGV[8], 'until', digits(now + lease))
elseif access == 'share' then
  redis.call('HSET', named('sharers'), writer,
    digits(now + lease) .. ' ' .. ARGV[7] .. ' ' .. ARGV[8] .. ' ' .. ARGV[6])
end
local found = redis.call('HMGET', owner, 'last_group', 'customers', 'holder')
return {'ok', found[1], found[2], found[3], text_at(named('t:estimates')), text_at(named('t:policy'))}
)lua";

// ARGV: holder, lease, group (0: none, as the store is shared), estimates, policy (empty: none),
// whether the rest is staged; then customer after customer.
constexpr std::string_view commit = R"lua(
local o = redis.call('HMGET', owner, 'holder', 'scans', 'customers', 'requests', 'host', 'process',
  'since')
if o[1] ~= ARGV[2] then return {'fenced', o[5], o[6], o[7]} end
redis.call('ZCARD', named('ids'))
local group, is_staged = ARGV[4], ARGV[7] == '1'

-- The arguments of the customers, from the beginning.
local function reader()
  if not is_staged then
    local at = 7
    return function() at = at + 1 return ARGV[at] end
  end
  local first, at, page = 0, 0, {}
  return function()
    at = at + 1
    if at > #page then
      page = redis.call('LRANGE', named('stage'), first, first + 4095)
      first, at = first + #page, 1
    end
    return page[at]
  end
end

local heads, take = {}, reader()
for id in take do
  take_write(take, id)
  heads[#heads + 1] = {head_of(id)}
end

find_scans(o[2])
if group ~= '0' then
  redis.call('HSET', owner, 'last_group', group, 'until', digits(milliseconds() + ARGV[3]))
end
if ARGV[5] ~= '' then redis.call('SET', named('t:estimates'), ARGV[5]) end
if ARGV[6] ~= '' then redis.call('SET', named('t:policy'), ARGV[6]) end
local n = 0
take = reader()
for id in take do
  n = n + 1
  local write = take_write(take, id)
  if write.op == '1' then
    put(write, heads[n][1], heads[n][2], group)
  else
    remove(id, heads[n][1], heads[n][2])
  end
end
if is_staged then redis.call('DEL', named('stage')) end
if n > 0 then count(o[3], o[4]) end
return {'ok'}
)lua";

// ARGV: holder, whether it is the first part; then what commit takes.
constexpr std::string_view stage = R"lua(
local o = redis.call('HMGET', owner, 'holder', 'host', 'process', 'since')
if o[1] ~= ARGV[2] then return {'fenced', o[2], o[3], o[4]} end
if ARGV[3] == '1' then redis.call('DEL', named('stage')) end
for from = 4, #ARGV, 1000 do
  redis.call('RPUSH', named('stage'), unpack(ARGV, from, math.min(from + 999, #ARGV)))
end
return {'ok'}
)lua";

// ARGV: holder, writer, whether any may have been written before, lease, who shares (empty: the
// lease is not renewed); then transaction after transaction. How many numbers are known is
// most_transactions of store.h.
constexpr std::string_view exchange = R"lua(
local o = redis.call('HMGET', owner, 'holder', 'scans', 'customers', 'requests', 'last_group',
  'host', 'process', 'since')
if o[1] ~= ARGV[2] then return {'fenced', o[6], o[7], o[8]} end
redis.call('ZCARD', named('ids'))
local writer, is_again = ARGV[3], ARGV[4] == '1'
local ring = named('w:' .. writer)
-- By the clock, so that a server that has lost what it had, and counts on, gives no version twice.
local now, last = microseconds(), tonumber(o[5])
find_scans(o[2])
if ARGV[6] ~= '' then
  redis.call('HSET', named('sharers'), writer, digits(math.floor(now / 1000) + ARGV[5]) .. ARGV[6])
end

local at = 6
local function take() at = at + 1 return ARGV[at] end

local function current(id)
  return {id, text_at(key('c', id)) or '', requests_of(id)}
end

-- Who is there under the part's ID, where it is not what the part says.
local function stale(part)
  part.old, part.alts = head_of(part.id)
  if part.old ~= '0' then return part.old ~= part.version and part.id or nil end
  local row = text_at(named('a:' .. part.id))
  local home = row and string.sub(row, 18)
  if home and redis.call('EXISTS', key('c', home)) == 1 then return home end
  return part.version ~= '0' and part.id or nil
end

local function written_before(number)
  local entry = redis.call('HGET', ring, number % 4096)
  local before, versions = string.match(entry or '', '^(%d+)(.*)$')
  if before ~= number then return nil end
  local answer = {'1'}
  for version in string.gmatch(versions, '%d+') do answer[#answer + 1] = version end
  return answer
end

local function answer_to(number, parts)
  local answer = {'0'}
  for _, part in ipairs(parts) do
    local home = stale(part)
    if home then answer[#answer + 1] = current(home) end
  end
  if #answer > 1 then return answer end
  answer[1] = '1'
  local is_writing = false
  for _, part in ipairs(parts) do
    local version = part.version
    if part.write.op == '1' then
      last = math.max(last + 1, now)
      version = digits(last)
      put(part.write, part.old, part.alts, version)
      is_writing = true
    elseif part.write.op == '0' then
      remove(part.id, part.old, part.alts)
      version = '0'
      is_writing = true
    end
    answer[#answer + 1] = version
  end
  return answer, is_writing
end

local answers, entries = {}, {}
while at < #ARGV do
  local number, parts = take(), {}
  for i = 1, tonumber(take()) do
    local part = {id = take(), version = take()}
    part.write = take_write(take, part.id)
    parts[i] = part
  end
  local answer = is_again and written_before(number)
  if not answer then
    local is_writing
    answer, is_writing = answer_to(number, parts)
    if is_writing then
      entries[#entries + 1] = number % 4096
      entries[#entries + 1] = number .. ' ' .. table.concat(answer, ' ', 2)
    end
  end
  answers[#answers + 1] = answer
end
for from = 1, #entries, 1000 do
  redis.call('HSET', ring, unpack(entries, from, math.min(from + 999, #entries)))
end
if #entries > 0 then
  redis.call('HSET', owner, 'last_group', digits(last), 'customers', digits(o[3] + customers),
    'requests', digits(o[4] + requests))
end
return {'ok', answers}
)lua";

// ARGV: holder, writer, lease, who shares (empty: it owns).
constexpr std::string_view renew = R"lua(
local o = redis.call('HMGET', owner, 'holder', 'host', 'process', 'since')
if o[1] ~= ARGV[2] then return {'fenced', o[2], o[3], o[4]} end
local ends = digits(milliseconds() + ARGV[4])
if ARGV[5] == '' then
  redis.call('HSET', owner, 'until', ends)
else
  redis.call('HSET', named('sharers'), ARGV[3], ends .. ARGV[5])
end
return {'ok'}
)lua";

// ARGV: holder (empty: it does not own), writer, whether it never comes again.
constexpr std::string_view close = R"lua(
if ARGV[2] ~= '' and redis.call('HGET', owner, 'holder') == ARGV[2] then
  redis.call('HSET', owner, 'until', '0')
end
local entry = redis.call('HGET', named('sharers'), ARGV[3])
if entry then
  redis.call('HSET', named('sharers'), ARGV[3], digits(milliseconds()) .. string.match(entry, ' .*$'))
end
if ARGV[4] == '1' then
  redis.call('HDEL', named('sharers'), ARGV[3])
  redis.call('DEL', named('w:' .. ARGV[3]))
end
return {'ok'}
)lua";

// ARGV: IDs or alternate ones.
constexpr std::string_view read = R"lua(
local found = {}
for i = 2, #ARGV do
  local asked = ARGV[i]
  local id, alt = asked, ''
  local row = text_at(key('c', id))
  if not row then
    alt = text_at(named('a:' .. asked))
    if alt then
      id = string.sub(alt, 18)
      row = text_at(key('c', id))
    end
  end
  if row then found[#found + 1] = {asked, alt, id, row, requests_of(id)} end
end
return {'ok', found}
)lua";

// ARGV: how long the scan is kept.
constexpr std::string_view scan_begin = R"lua(
local o = redis.call('HMGET', owner, 'customers', 'last_group')
if redis.call('ZCARD', named('ids')) ~= tonumber(o[1]) then
  return {'lost', digits(redis.call('ZCARD', named('ids'))), o[1]}
end
local scan = digits(redis.call('HINCRBY', owner, 'scan', 1))
redis.call('HSET', named('scans'), scan, digits(milliseconds() + ARGV[2]))
redis.call('HSET', owner, 'scans', redis.call('HLEN', named('scans')))
return {'ok', scan}
)lua";

// ARGV: scan, how long it is kept, from where, how many.
constexpr std::string_view scan_page = R"lua(
local scan, from, most = ARGV[2], ARGV[4], ARGV[5]
if not redis.call('HGET', named('scans'), scan) then return {'over'} end
redis.call('HSET', named('scans'), scan, digits(milliseconds() + ARGV[3]))
local kept = named('s:' .. scan)
local are_kept = redis.call('EXISTS', kept) == 1
local function rows(ids)
  local all = {}
  for i, id in ipairs(ids) do
    local was = are_kept and redis.call('HGET', kept, id)
    if was == '' then
      all[i] = {id}
    elseif was then
      local row = cmsgpack.unpack(was)
      all[i] = {id, row[1], row[2]}
    else
      all[i] = {id, text_at(key('c', id)) or '', requests_of(id)}
    end
  end
  return all
end
local here = redis.call('ZRANGEBYLEX', named('ids'), from, '+', 'LIMIT', 0, most)
local gone = redis.call('ZRANGEBYLEX', kept .. ':ids', from, '+', 'LIMIT', 0, most)
return {'ok', rows(here), rows(gone)}
)lua";

// ARGV: scan.
constexpr std::string_view scan_end = R"lua(
redis.call('DEL', named('s:' .. ARGV[2]), named('s:' .. ARGV[2] .. ':ids'))
redis.call('HDEL', named('scans'), ARGV[2])
redis.call('HSET', owner, 'scans', redis.call('HLEN', named('scans')))
return {'ok'}
)lua";

constexpr std::string_view status = R"lua(
local o = redis.call('HMGET', owner, 'schema', 'last_group', 'customers', 'requests', 'host',
  'process', 'since', 'until')
local is_owned = tonumber(o[8] or '0') > milliseconds()
return {'ok', o[1] or '0', o[2] or '0', o[3] or '0', o[4] or '0', is_owned and '1' or '0', o[5] or '',
  o[6] or '', o[7] or ''}
)lua";

std::string_view body_of(Script script) {
  switch (script) {
    case Script::check: return check;
    case Script::open: return open;
    case Script::commit: return commit;
    case Script::stage: return stage;
    case Script::exchange: return exchange;
    case Script::renew: return renew;
    case Script::close: return close;
    case Script::read: return read;
    case Script::scan_begin: return scan_begin;
    case Script::scan_page: return scan_page;
    case Script::scan_end: return scan_end;
    case Script::status: return status;
  }
  return {};
}

}  // namespace

std::string source_of(Script script) {
  std::string source(common);
  if (script == Script::commit || script == Script::exchange) source += writing;
  return source.append(body_of(script));
}

}  // namespace limitr::store::redis
