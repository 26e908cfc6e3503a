// SPDX-License-Identifier: Apache-2.0
#include "store/redis/scripts.h"

#include <string_view>
#include <vector>

namespace limitr::store::redis {
namespace {

// Before each script. KEYS[1] is the key `owner`, ARGV[1] the prefix.
//
// A script makes its functions anew each time it runs, which takes longer than the commands of a
// plain write; so what a plain write does not need is made in `rarely()`, when it is first needed.
// Redis hashes every byte of each text that Lua gets or makes: a record is put together here only
// where its version is not known before, and tables of writes are filled anew.
constexpr std::string_view common = R"lua(
local owner, prefix, call = KEYS[1], ARGV[1], redis.call
local damaged_version = '4503599627370495'
local day = 86400000
-- How far before the clock a version may be, in microseconds: as versions_ahead of calls.h.
local ahead = 100000

local function key(kind, id)
  local tag = id
  local close = string.find(id, '}', 1, true)
  if close then
    local open = string.find(id, '{', 1, true)
    local ends = open and string.find(id, '}', open + 1, true)
    if ends and ends > open + 1 then
      tag = string.sub(id, open + 1, ends - 1)
    else
      tag = string.sub(id, 1, close - 1)
    end
  end
  return prefix .. ':{' .. tag .. '}:' .. kind .. ':' .. id
end
local function named(name) return prefix .. ':' .. name end
local function digits(number) return string.format('%d', number) end
local function microseconds()
  local time = call('TIME')
  return time[1] * 1000000 + time[2]
end
)lua";

// Of whoever reads customers.
constexpr std::string_view reading = R"lua(
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

// Of whoever writes customers. rarely() has `reading` inside.
constexpr std::string_view writing_begin = R"lua(
local customers, requests = 0, 0  -- how many more there are
local scans = {}
local rare
local function rarely()
  if rare then return rare end
)lua";

constexpr std::string_view writing_end = R"lua(
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

  local function drop_alts(id, alts)
    for alt in each_alt(alts) do
      local k = named('a:' .. alt)
      local row = text_at(k)
      if row and string.sub(row, 18) == id then call('DEL', k) end
    end
  end

  local function drop_requests(id)
    local q = key('q', id)
    local there = redis.pcall('ZCARD', q)
    if type(there) == 'number' then requests = requests - there end
    call('DEL', q)
  end

  rare = {
    text_at = text_at,
    requests_of = requests_of,

    find_scans = function()
      local now = microseconds() / 1000
      local all = call('HGETALL', named('scans'))
      for i = 1, #all, 2 do
        if tonumber(all[i + 1]) > now then
          scans[#scans + 1] = all[i]
        else
          call('DEL', named('s:' .. all[i]), named('s:' .. all[i] .. ':ids'))
          call('HDEL', named('scans'), all[i])
        end
      end
      call('HSET', owner, 'scans', #scans)
    end,

    keep_for_scans = function(id, version, is_removed)
      for _, scan in ipairs(scans) do
        local kept = named('s:' .. scan)
        if call('HEXISTS', kept, id) == 0 then
          local was = ''
          if version ~= '0' then
            was = cmsgpack.pack({text_at(key('c', id)), requests_of(id)})
          end
          call('HSET', kept, id, was)
        end
        if is_removed then call('ZADD', kept .. ':ids', 0, id) end
      end
    end,

    is_made = function(id)
      customers = customers + call('ZADD', named('ids'), 0, id)
      drop_requests(id)
    end,

    replace_alts = function(id, before, alts)
      drop_alts(id, before)
      for alt, sum in each_alt(alts) do call('SET', named('a:' .. alt), sum .. ' ' .. id) end
    end,

    put_requests = function(id, first, fresh)
      local q = key('q', id)
      if type(redis.pcall('ZCARD', q)) == 'table' then call('DEL', q) end
      requests = requests - call('ZREMRANGEBYSCORE', q, '-inf', '(' .. first)
      for i = 1, #fresh, 2 do
        requests = requests - call('ZREMRANGEBYSCORE', q, fresh[i], fresh[i])
        requests = requests + call('ZADD', q, fresh[i], fresh[i + 1])
      end
    end,

    remove = function(id, version, alts)
      if version ~= '0' then rare.keep_for_scans(id, version, true) end
      customers = customers - call('ZREM', named('ids'), id)
      if version == '0' then return end
      call('DEL', key('c', id))
      drop_requests(id)
      drop_alts(id, alts)
    end,

    count = function()
      if customers ~= 0 then redis.pcall('HINCRBY', owner, 'customers', customers) end
      if requests ~= 0 then redis.pcall('HINCRBY', owner, 'requests', requests) end
    end,
  }
  return rare
end

-- The version of a customer's row and its alternate IDs; version 0 where there is none.
local function head_of(id)
  local k = key('c', id)
  local row = redis.pcall('GETRANGE', k, 0, 63)
  if row == '' then return '0', '' end
  if type(row) == 'table' then return damaged_version, '' end
  local version = string.match(row, '^(%d+) %d+ 0\n')
  if version and #version <= 16 then return version, '' end
  local size, at
  version, size, at = string.match(row, '^(%d+) %d+ (%d+)\n()')
  -- What is too long for a number would end the script, with half of a group written.
  if not version or #version > 16 or #size > 9 then return damaged_version, '' end
  return version, call('GETRANGE', k, at - 1, at - 2 + size)
end

-- write: of take_write(); version and alts: of the row that is there.
local function put(write, version, alts, new_version)
  local id, row = write.id, write.record
  if scans[1] then rarely().keep_for_scans(id, version, false) end
  if write.sum ~= '' then
    local size = write.alts == '' and ' 0\n' or ' ' .. #write.alts .. '\n'
    row = new_version .. ' ' .. digits((write.sum + new_version) % 4503599627370496) .. size ..
      write.alts .. row
  end
  call('SET', key('c', id), row)
  if version == '0' then rarely().is_made(id) end
  if alts ~= write.alts then rarely().replace_alts(id, alts, write.alts) end
  if write.fresh or write.first ~= '0' then
    rarely().put_requests(id, write.first, write.fresh or {})
  end
end

-- What is written of a customer, of the arguments that `take` gives: a sum, alternate IDs, the record,
-- and requests. Without a sum, `record` is the whole row; with - for one, there is nothing besides.
local function take_write(write, id, take)
  write.id, write.sum, write.fresh = id, take(), nil
  if write.sum == '-' then
    write.sum, write.alts, write.record, write.first = '', '', take(), '0'
    return
  end
  write.alts, write.record, write.first = take(), take(), take()
  local count = take()
  if count ~= '0' then
    write.fresh = {}
    for i = 1, 2 * count do write.fresh[i] = take() end
  end
end
)lua";

constexpr std::string_view check = R"lua(
local k = named('check')
call('DEL', k)
call('SET', k, 'x')
call('GET', k)
call('GETRANGE', k, 0, 1)
call('EXISTS', k)
call('DEL', k)
call('HSET', k, 'f', '1')
call('HINCRBY', k, 'f', 1)
call('HGET', k, 'f')
call('HMGET', k, 'f')
call('HGETALL', k)
call('HEXISTS', k, 'f')
call('HLEN', k)
call('HDEL', k, 'f')
call('ZADD', k, 0, 'm')
call('ZCARD', k)
call('ZRANGE', k, 0, -1)
call('ZRANGEBYLEX', k, '-', '+', 'LIMIT', 0, 1)
call('ZREMRANGEBYSCORE', k, 1, 1)
call('ZREM', k, 'm')
call('RPUSH', k, 'e')
call('LRANGE', k, 0, -1)
call('DEL', k)
call('TIME')
)lua";

constexpr std::string_view check_end = R"lua(
return {'ok'}
)lua";

// ARGV: access, who holds it if it is to be owned, writer, lease, host, process, since; and in a
// cluster anything more.
constexpr std::string_view open = R"lua(
local access, next_holder, writer, lease = unpack(ARGV, 2, 5)
local o = call('HMGET', owner, 'schema', 'holder', 'until', 'host', 'process', 'since')
if o[1] and o[1] ~= '1' then return {'schema', o[1]} end
if not o[1] then
  if call('EXISTS', owner, named('ids')) > 0 then return {'headless'} end
  if access == 'read' then return {'missing'} end
  call('HSET', owner, 'schema', '1', 'holder', '', 'until', '0', 'epoch', '0',
    'last_group', '0', 'customers', '0', 'requests', '0', 'scans', '0', 'scan', '0')
end
call('ZCARD', named('ids'))
local now = math.floor(microseconds() / 1000)
local is_ours = o[2] and string.sub(o[2], 1, #writer + 1) == writer .. ':'
if access ~= 'read' and not is_ours and o[3] and tonumber(o[3]) > now then
  return {'owned', o[4], o[5], o[6]}
end
if access ~= 'own' and is_ours then call('HSET', owner, 'until', '0') end
local sharers = call('HGETALL', named('sharers'))
for i = 1, #sharers, 2 do
  local ends, process, since, host = string.match(sharers[i + 1], '^(%d+) (%-?%d+) (%-?%d+) (.*)$')
  if sharers[i] == writer then
    if access ~= 'share' and tonumber(ends) > now then
      call('HSET', named('sharers'), writer, digits(now) .. string.match(sharers[i + 1], ' .*$'))
    end
  elseif access ~= 'read' and tonumber(ends) + day < now then
    call('HDEL', named('sharers'), sharers[i])
    call('DEL', named('w:' .. sharers[i]))
  elseif access == 'own' and tonumber(ends) > now then
    return {'shared', host, process, since}
  end
end
if access == 'own' then
  call('DEL', named('stage'))
  call('HINCRBY', owner, 'epoch', 1)
  local shared = call('HMGET', owner, 'is_shared', 'last_group')
  if shared[1] == '1' and not ARGV[9] then
    call('HSET', owner, 'is_shared', '0',
      'last_group', digits(math.max(shared[2], microseconds() + ahead)))
  end
  call('HSET', owner, 'holder', next_holder, 'host', ARGV[6], 'process', ARGV[7],
    'since', ARGV[8], 'until', digits(now + lease))
elseif access == 'share' then
  -- Whoever owned it before can write no more, however late that comes.
  if call('HGET', owner, 'is_shared') ~= '1' or o[3] ~= '0' then
    call('HSET', owner, 'holder', next_holder, 'until', '0')
  end
  call('HSET', owner, 'is_shared', '1')
  call('HSET', named('sharers'), writer,
    digits(now + lease) .. ' ' .. ARGV[7] .. ' ' .. ARGV[8] .. ' ' .. ARGV[6])
end
local found = call('HMGET', owner, 'last_group', 'customers', 'holder', 'requests')
return {'ok', found[1], found[2], found[3], text_at(named('t:estimates')),
  text_at(named('t:policy')), found[4]}
)lua";

// ARGV: holder, lease, group (0: none, as the store is shared), estimates, policy (empty: none),
// whether the rest is staged; then customer after customer.
constexpr std::string_view commit = R"lua(
local o = call('HMGET', owner, 'holder', 'scans', 'host', 'process', 'since')
if o[1] ~= ARGV[2] then return {'fenced', o[3], o[4], o[5]} end
call('ZCARD', named('ids'))
local group, is_staged = ARGV[4], ARGV[7] == '1'

-- The arguments of the customers.
local function reader()
  if not is_staged then
    local at = 7
    return function() at = at + 1 return ARGV[at] end
  end
  local first, at, page = 0, 0, {}
  return function()
    at = at + 1
    if at > #page then
      page = call('LRANGE', named('stage'), first, first + 4095)
      first, at = first + #page, 1
    end
    return page[at]
  end
end

if o[2] ~= '0' then rarely().find_scans() end
if group ~= '0' then
  call('HSET', owner, 'last_group', group, 'until', digits(microseconds() / 1000 + ARGV[3]))
end
if ARGV[5] ~= '' then call('SET', named('t:estimates'), ARGV[5]) end
if ARGV[6] ~= '' then call('SET', named('t:policy'), ARGV[6]) end
local write, take = {}, reader()
for id in take do
  local is_write = take() == '1'
  if is_write then take_write(write, id, take) end
  local version, alts = head_of(id)
  if is_write then
    put(write, version, alts, group)
  else
    rarely().remove(id, version, alts)
  end
end
if is_staged then call('DEL', named('stage')) end
if rare then rare.count() end
return {'ok'}
)lua";

// ARGV: holder, whether it is the first part; then what commit takes.
constexpr std::string_view stage = R"lua(
local o = call('HMGET', owner, 'holder', 'host', 'process', 'since')
if o[1] ~= ARGV[2] then return {'fenced', o[2], o[3], o[4]} end
if ARGV[3] == '1' then call('DEL', named('stage')) end
for from = 4, #ARGV, 1000 do
  call('RPUSH', named('stage'), unpack(ARGV, from, math.min(from + 999, #ARGV)))
end
return {'ok'}
)lua";

// ARGV: holder, writer, whether any may have been written before, lease, who shares (empty: the
// lease is not renewed); then transaction after transaction. How many numbers are known is
// most_transactions of store.h.
//
// Versions are microseconds of the server's clock, so that they rise also where a failover has
// taken back the last ones; each is above that of the row that it replaces, and of a new row above
// `last_group`, which whoever removes a customer raises to its version. The operation of a write is
// the version in its row, which the writer has made by that clock as it last heard of it: the row
// goes in as it is, unless its version is too low or too high.
//
// Answers to each transaction with the versions that it has got, in one text, or else with a list
// of what is there instead.
constexpr std::string_view exchange_begin = R"lua(
local o = call('HMGET', owner, 'holder', 'scans')
if o[1] ~= ARGV[2] then
  o = call('HMGET', owner, 'host', 'process', 'since')
  return {'fenced', o[1], o[2], o[3]}
end
local ring = prefix .. ':w:' .. ARGV[3]
)lua";

// Of a slot, where the epoch that was when the sharer opened stands in place of the holder, and
// lease and who shares are empty. What the writer has written here is forgotten when its last
// numbers are others, and a day after its last one: else there would be so much for each slot.
constexpr std::string_view slot_exchange_begin = R"lua(
local o = call('HMGET', owner, 'epoch', 'scans')
if o[1] and tonumber(o[1]) > tonumber(ARGV[2]) then return {'fenced'} end
local ring = prefix .. ':w:' .. ARGV[3]
local last_written = call('HGET', ring, 'last')
if last_written and tonumber(last_written) + 4096 <= tonumber(ARGV[7]) then call('DEL', ring) end
)lua";

constexpr std::string_view exchange_all = R"lua(
local is_again = ARGV[4] == '1'
local now = microseconds()
if o[2] and o[2] ~= '0' then rarely().find_scans() end
if ARGV[6] ~= '' then
  call('HSET', named('sharers'), ARGV[3], digits(now / 1000 + ARGV[5]) .. ARGV[6])
end

local at = 6
local function take() at = at + 1 return ARGV[at] end

-- Who is there under the part's ID, where it is not what the part says.
local function stale(part)
  part.old, part.old_alts = head_of(part.id)
  if part.old ~= '0' then return part.old ~= part.version and part.id or nil end
  local row = rarely().text_at(named('a:' .. part.id))
  local home = row and string.sub(row, 18)
  if home and call('EXISTS', key('c', home)) == 1 then return home end
  return part.version ~= '0' and part.id or nil
end

-- The version that a part gets, which its row has from then on.
local function next_version(part)
  local old, least = part.old, now
  if old ~= damaged_version then
    old = tonumber(old == '0' and call('HGET', owner, 'last_group') or old) or 0
    least = math.max(now, old + 1)
  end
  local wanted = tonumber(part.op)
  if wanted >= least and wanted <= least + ahead then return part.op end
  local version = digits(least)
  local sum, rest = string.match(part.record, '^%d+ (%d+)( .*)$')
  part.record = version .. ' ' .. digits((sum - wanted + least) % 4503599627370496) .. rest
  return version
end

-- The parts of the transaction that is looked at, `count` of them.
local parts, count = {}, 0

-- Each part that is not what it was, as it is now.
local function current_parts()
  local current
  for i = 1, count do
    local part = parts[i]
    local home = stale(part)
    if home then
      current = current or {}
      current[#current + 1] =
        {home, rarely().text_at(key('c', home)) or '', rare.requests_of(home)}
    elseif part.op == '0' or part.old == '0' then
      call('ZCARD', named('ids'))
    end
  end
  return current
end

-- The new versions of the parts, and whether anything was written.
local function write_parts()
  local versions, is_writing = nil, false
  for i = 1, count do
    local part = parts[i]
    local version = part.version
    if part.is_write then
      version = next_version(part)
      put(part, part.old, part.old_alts, version)
      is_writing = true
    elseif part.op == '0' then
      local last = math.max(tonumber(call('HGET', owner, 'last_group')) or 0, part.version)
      call('HSET', owner, 'last_group', digits(last))
      rarely().remove(part.id, part.old, part.old_alts)
      version = '0'
      is_writing = true
    end
    versions = versions and versions .. ' ' .. version or version
  end
  return versions or '', is_writing
end

local function written_before(number)
  local entry = call('HGET', ring, number % 4096)
  local before, versions = string.match(entry or '', '^(%d+) (.*)$')
  return before == number and versions or nil
end

local answers, entries = {}, {}
while at < #ARGV do
  local number = take()
  count = tonumber(take())
  for i = 1, count do
    local part = parts[i] or {}
    parts[i] = part
    part.id, part.version, part.op = take(), take(), take()
    part.is_write = part.op ~= '-' and part.op ~= '0'
    if part.is_write then take_write(part, part.id, take) end
  end
  local answer = is_again and written_before(number)
  if not answer then
    answer = current_parts()
    if not answer then
      local is_writing
      answer, is_writing = write_parts()
      if is_writing then
        entries[#entries + 1] = number % 4096
        entries[#entries + 1] = number .. ' ' .. answer
      end
    end
  end
  answers[#answers + 1] = answer
end
for from = 1, #entries, 1000 do
  call('HSET', ring, unpack(entries, from, math.min(from + 999, #entries)))
end
if rare then rare.count() end
)lua";

constexpr std::string_view exchange_end = R"lua(
return {'ok', answers, digits(now)}
)lua";

constexpr std::string_view slot_exchange_end = R"lua(
if #entries > 0 then
  call('HSET', ring, 'last', string.match(entries[#entries], '^%d+'))
  call('EXPIRE', ring, 86400)
end
return {'ok', answers, digits(now)}
)lua";

// ARGV: holder, writer, lease, who shares (empty: it owns).
constexpr std::string_view renew = R"lua(
local o = call('HMGET', owner, 'holder', 'host', 'process', 'since')
if o[1] ~= ARGV[2] then return {'fenced', o[2], o[3], o[4]} end
local ends = digits(microseconds() / 1000 + ARGV[4])
if ARGV[5] == '' then
  call('HSET', owner, 'until', ends)
else
  call('HSET', named('sharers'), ARGV[3], ends .. ARGV[5])
end
return {'ok'}
)lua";

// ARGV: holder (empty: it does not own), writer, whether it never comes again.
constexpr std::string_view close = R"lua(
if ARGV[2] ~= '' and call('HGET', owner, 'holder') == ARGV[2] then
  call('HSET', owner, 'until', '0')
end
local entry = call('HGET', named('sharers'), ARGV[3])
if entry then
  call('HSET', named('sharers'), ARGV[3], digits(microseconds() / 1000) .. string.match(entry, ' .*$'))
end
if ARGV[4] == '1' then
  call('HDEL', named('sharers'), ARGV[3])
  call('DEL', named('w:' .. ARGV[3]))
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
local o = call('HMGET', owner, 'customers', 'last_group')
if call('ZCARD', named('ids')) ~= tonumber(o[1]) then
  return {'lost', digits(call('ZCARD', named('ids'))), o[1]}
end
local scan = digits(call('HINCRBY', owner, 'scan', 1))
call('HSET', named('scans'), scan, digits(microseconds() / 1000 + ARGV[2]))
call('HSET', owner, 'scans', call('HLEN', named('scans')))
return {'ok', scan}
)lua";

// ARGV: scan, how long it is kept from now on (0: as long as before), from where, how many.
constexpr std::string_view scan_page = R"lua(
local scan, from, most = ARGV[2], ARGV[4], ARGV[5]
if not call('HGET', named('scans'), scan) then return {'over'} end
if ARGV[3] ~= '0' then
  call('HSET', named('scans'), scan, digits(microseconds() / 1000 + ARGV[3]))
end
local kept = named('s:' .. scan)
local are_kept = call('EXISTS', kept) == 1
local function rows(ids)
  local all = {}
  for i, id in ipairs(ids) do
    local was = are_kept and call('HGET', kept, id)
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
local here = call('ZRANGEBYLEX', named('ids'), from, '+', 'LIMIT', 0, most)
local gone = call('ZRANGEBYLEX', kept .. ':ids', from, '+', 'LIMIT', 0, most)
return {'ok', rows(here), rows(gone)}
)lua";

// ARGV: scan.
constexpr std::string_view scan_end = R"lua(
call('DEL', named('s:' .. ARGV[2]), named('s:' .. ARGV[2] .. ':ids'))
call('HDEL', named('scans'), ARGV[2])
call('HSET', owner, 'scans', call('HLEN', named('scans')))
return {'ok'}
)lua";

constexpr std::string_view status = R"lua(
local o = call('HMGET', owner, 'schema', 'last_group', 'customers', 'requests', 'host',
  'process', 'since', 'until')
local is_owned = tonumber(o[8] or '0') > microseconds() / 1000
return {'ok', o[1] or '0', o[2] or '0', o[3] or '0', o[4] or '0', is_owned and '1' or '0', o[5] or '',
  o[6] or '', o[7] or ''}
)lua";

// After check.
constexpr std::string_view cluster_check_end = R"lua(
call('SETBIT', k, 0, 0)
call('GETBIT', k, 0)
call('EXPIRE', k, 60)
call('DEL', k)
call('RPUSH', k, 'e')
call('LLEN', k)
call('LINDEX', k, 0)
call('RENAME', k, named('check2'))
call('DEL', named('check2'))
return {'ok'}
)lua";

// ARGV: holder, lease, group (0: none, as the store is shared), estimates, policy (empty: none),
// whether the intent is staged, how many slots are new, those; then the intent, unless it is staged
// or there is none.
constexpr std::string_view intend = R"lua(
local o = call('HMGET', owner, 'holder', 'host', 'process', 'since')
if o[1] ~= ARGV[2] then return {'fenced', o[2], o[3], o[4]} end
local intent, used, from = named('intent'), named('used'), 9 + ARGV[8]
call('LLEN', intent)
call('GETBIT', used, 0)
if ARGV[4] ~= '0' then
  call('HSET', owner, 'last_group', ARGV[4], 'until', digits(microseconds() / 1000 + ARGV[3]))
end
if ARGV[5] ~= '' then call('SET', named('t:estimates'), ARGV[5]) end
if ARGV[6] ~= '' then call('SET', named('t:policy'), ARGV[6]) end
for i = 9, from - 1 do call('SETBIT', used, ARGV[i], 1) end
if ARGV[7] == '1' then
  call('RENAME', named('stage'), intent)
elseif from <= #ARGV then
  call('DEL', intent)
  for first = from, #ARGV, 1000 do
    call('RPUSH', intent, unpack(ARGV, first, math.min(first + 999, #ARGV)))
  end
end
return {'ok'}
)lua";

// ARGV: group, how many alternate IDs of customers in other slots there are, each and its row; then
// customer after customer as in commit. A part that was applied already, or is older than what was,
// changes nothing. Answers with the alternate IDs, as they stood in the row, of customers of whom
// some in other slots may lead to them no longer, and with the last group before.
constexpr std::string_view apply = R"lua(
local o = call('HMGET', owner, 'last_group', 'scans')
local group, alts_end = ARGV[2], 3 + 2 * ARGV[3]
if o[1] and tonumber(o[1]) >= tonumber(group) then return {'ok', {}, o[1]} end
call('ZCARD', named('ids'))

if o[2] and o[2] ~= '0' then rarely().find_scans() end
call('HSET', owner, 'last_group', group)
local at, write, dropped, last_alts = alts_end, {}, {}, {}
local function take() at = at + 1 return ARGV[at] end
for id in take do
  local is_write = take() == '1'
  if is_write then take_write(write, id, take) end
  local version, alts = head_of(id)
  if is_write then
    put(write, version, alts, group)
  else
    rarely().remove(id, version, alts)
  end
  -- Of one that comes again the last has the word.
  local new_alts = is_write and write.alts or ''
  if dropped[1] then last_alts[id] = new_alts end
  if new_alts ~= alts and string.find(alts, ';', 1, true) then
    dropped[#dropped + 1] = {id, alts}
    last_alts[id] = new_alts
  end
end
for _, customer in ipairs(dropped) do customer[3] = last_alts[customer[1]] end
for i = 4, alts_end, 2 do call('SET', named('a:' .. ARGV[i]), ARGV[i + 1]) end
if rare then rare.count() end
return {'ok', dropped, o[1] or '0'}
)lua";

// ARGV: group; then each alternate ID and whom it led to.
constexpr std::string_view drop_alts = R"lua(
local last = call('HGET', owner, 'last_group')
if last and tonumber(last) > tonumber(ARGV[2]) then return {'ok'} end
for i = 3, #ARGV, 2 do
  local k = named('a:' .. ARGV[i])
  local row = text_at(k)
  if row and string.sub(row, 18) == ARGV[i + 1] then call('DEL', k) end
end
return {'ok'}
)lua";

// ARGV: holder, the last group of any slot, whether nobody shares any more, the group whose intent
// was finished (empty: none), the node on which this is; then slots that are used.
constexpr std::string_view settle = R"lua(
local o = call('HMGET', owner, 'holder', 'host', 'process', 'since', 'last_group')
if o[1] ~= ARGV[2] then return {'fenced', o[2], o[3], o[4]} end
if tonumber(ARGV[3]) > (tonumber(o[5]) or 0) then call('HSET', owner, 'last_group', ARGV[3]) end
if ARGV[4] == '1' then call('HSET', owner, 'is_shared', '0') end
call('HSET', owner, 'home', ARGV[6])
for i = 7, #ARGV do call('SETBIT', named('used'), ARGV[i], 1) end
if ARGV[5] ~= '' and call('LINDEX', named('intent'), 0) == ARGV[5] then
  call('DEL', named('intent'))
end
return {'ok'}
)lua";

// ARGV: holder; then slots.
constexpr std::string_view mark = R"lua(
local o = call('HMGET', owner, 'holder', 'host', 'process', 'since')
if o[1] ~= ARGV[2] then return {'fenced', o[2], o[3], o[4]} end
for i = 3, #ARGV do call('SETBIT', named('used'), ARGV[i], 1) end
return {'ok'}
)lua";

// ARGV: the epoch of who owns the store now. Answers with a number above all versions in the slot.
constexpr std::string_view fence = R"lua(
local o = call('HMGET', owner, 'epoch', 'last_group')
if tonumber(o[1] or '0') < tonumber(ARGV[2]) then call('HSET', owner, 'epoch', ARGV[2]) end
return {'ok', digits(math.max(microseconds() + ahead, tonumber(o[2] or '0')))}
)lua";

// ARGV: IDs or alternate ones. A customer of another slot is named without its row.
constexpr std::string_view slot_read = R"lua(
local found = {}
for i = 2, #ARGV do
  local asked = ARGV[i]
  local row = text_at(key('c', asked))
  if row then
    found[#found + 1] = {asked, '', asked, row, requests_of(asked)}
  else
    local alt = text_at(named('a:' .. asked))
    if alt then
      local id = string.sub(alt, 18)
      row = text_at(key('c', id))
      found[#found + 1] = {asked, alt, id, row or '', row and requests_of(id) or {}}
    end
  end
end
return {'ok', found}
)lua";

// ARGV: how long the scan is kept. Answers with the IDs of all who are there.
constexpr std::string_view slot_scan_begin = R"lua(
local o = call('HMGET', owner, 'customers')
local ids = call('ZRANGE', named('ids'), 0, -1)
if #ids ~= tonumber(o[1] or '0') then return {'lost', digits(#ids), o[1] or '0'} end
if #ids == 0 then return {'ok', '', ids} end
local scan = digits(call('HINCRBY', owner, 'scan', 1))
call('HSET', named('scans'), scan, digits(microseconds() / 1000 + ARGV[2]))
call('HSET', owner, 'scans', call('HLEN', named('scans')))
return {'ok', scan, ids}
)lua";

// ARGV: scan, how long it is kept from now on (0: as long as before); then IDs.
constexpr std::string_view slot_scan_rows = R"lua(
local scan = ARGV[2]
if not call('HGET', named('scans'), scan) then return {'over'} end
if ARGV[3] ~= '0' then
  call('HSET', named('scans'), scan, digits(microseconds() / 1000 + ARGV[3]))
end
local kept, rows = named('s:' .. scan), {}
for i = 4, #ARGV do
  local id = ARGV[i]
  local was = call('HGET', kept, id)
  if was and was ~= '' then
    local row = cmsgpack.unpack(was)
    rows[#rows + 1] = {id, row[1], row[2]}
  else
    rows[#rows + 1] = {id, text_at(key('c', id)) or '', requests_of(id)}
  end
end
return {'ok', rows}
)lua";

bool is_writing(Script script) {
  return script == Script::commit || script == Script::exchange || script == Script::apply ||
         script == Script::slot_exchange;
}

/// The one after the other.
std::vector<std::string_view> bodies_of(Script script) {
  switch (script) {
    case Script::check: return {check, check_end};
    case Script::open: return {open};
    case Script::commit: return {commit};
    case Script::stage: return {stage};
    case Script::exchange: return {exchange_begin, exchange_all, exchange_end};
    case Script::renew: return {renew};
    case Script::close: return {close};
    case Script::read: return {read};
    case Script::scan_begin: return {scan_begin};
    case Script::scan_page: return {scan_page};
    case Script::scan_end: return {scan_end};
    case Script::status: return {status};
    case Script::cluster_check: return {check, cluster_check_end};
    case Script::intend: return {intend};
    case Script::apply: return {apply};
    case Script::drop_alts: return {drop_alts};
    case Script::settle: return {settle};
    case Script::mark: return {mark};
    case Script::fence: return {fence};
    case Script::slot_exchange: return {slot_exchange_begin, exchange_all, slot_exchange_end};
    case Script::slot_read: return {slot_read};
    case Script::slot_scan_begin: return {slot_scan_begin};
    case Script::slot_scan_rows: return {slot_scan_rows};
  }
  return {};
}

}  // namespace

bool is_of(Script script, bool is_cluster) {
  switch (script) {
    case Script::open:
    case Script::stage:
    case Script::renew:
    case Script::close:
    case Script::scan_end:
    case Script::status: return true;
    default: return is_cluster == (script >= Script::cluster_check);
  }
}

std::string source_of(Script script) {
  std::string source(common);
  if (is_writing(script)) source += writing_begin;
  source += reading;
  if (is_writing(script)) source += writing_end;
  for (const std::string_view body : bodies_of(script)) source += body;
  return source;
}

}  // namespace limitr::store::redis
