#!lua flags=allow-oom
-- Check a bounded slice of the stored data and repair inconsistencies in the same call. One worker sweeps at a time.
-- ARGV: prefix, queue, sweeper, its lease in ms, items_max, retention of ended events in ms, retention of dead letters
-- in ms (0: no limit), lane payload, body_ms, lease_ms. Returns {} if another worker sweeps. Otherwise
-- returns 'swept', names and counts of repairs, 1 if the pass continues or 0 if it is complete, 1 if expired data
-- are left, and 1 if the indexes are being rebuilt.
holder_of(prefix .. 'sweeper')
local holder = redis.call('SET', prefix .. 'sweeper', ARGV[3], 'NX', 'GET', 'PX', ARGV[4])
if holder and holder ~= ARGV[3] then
  return {}
end
redis.call('PEXPIRE', prefix .. 'sweeper', ARGV[4])
local items_max, retention_ms, dead_ms = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local place = prefix .. 'sweep'
local repaired, more, expired_left = {}, 0, 0
local LANE_SEARCH_MAX = 1000 -- longer lanes are searched once they are shorter: LPOS takes linear time
local ENDED_PER_ITEM = 10 -- removing an ended event is cheap, and removals must keep pace with arrivals
local WORKER_SILENT_SECONDS_MAX = 86400

local function count(name)
  repaired[name] = (repaired[name] or 0) + 1
end

-- Return a slice of a sorted set as members and scores, from the position of the last sweep; after the end it starts again.
local function slice(key, name)
  local from = number_of(place, redis.call('HGET', place, name))
  local members = redis.call('ZRANGE', key, from, from + items_max - 1, 'WITHSCORES')
  redis.call('HSET', place, name, #members == 2 * items_max and from + items_max or 0)
  if #members == 2 * items_max then
    more = 1
  end
  return members
end

local function lane_of(id)
  local head = head_of_delivery(id)
  return head and lane_prefix .. head[4]
end

-- Return whether every rule of an event waits for an effect of an earlier event.
local function is_behind(id, event)
  local held = fields_of(event, 'order', 'ledger', 'queued')
  if not (held and held[1] and held[3]) then
    return false
  end
  local lists, unfinished = usable_effects_of(held[1], held[2] or '')
  local waits = false
  for i, list in ipairs(lists) do
    waits = waits or unfinished[i] == 'first'
    if unfinished[i] == 'first' and (list == '' or first_of(list) == id or not redis.call('LPOS', list, id)) then
      return false
    end
  end
  return waits
end

local accounts

local function is_parked(job)
  accounts = accounts or redis.call('SMEMBERS', prefix .. 'parked')
  for _, name in ipairs(accounts) do
    if redis.call('ZSCORE', prefix .. 'parked:' .. name, job) then
      return true
    end
  end
  return false
end

local function repair_open(id)
  local event = prefix .. 'event:' .. id
  local state = field(event, 'state') or end_of(id) and 'ended'
  if state == 'ended' or state == 'dead' then
    redis.call('ZREM', open, id)
    return count('open_but_ended')
  end
  if state == 'decided' and redis.call('ZSCORE', queue, effects_prefix .. id) then
    return
  end
  local lane = lane_of(id)
  -- Most events are here: few commands, since a long outage parks a million of them.
  local length = lane and read('LLEN', lane)
  if lane and not length then -- of another type
    redis.call('DEL', lane)
    length = 0
  end
  if lane and (length > LANE_SEARCH_MAX or length > 0 and redis.call('LPOS', lane, id)) then
    if not redis.call('ZSCORE', queue, lane) and make_job(lane, ARGV[8], is_parked(lane) and PARKED or now) then
      count('lane_without_job')
      wake_one()
    end
  elseif redis.call('ZSCORE', queue, effects_prefix .. id) then
    return
  elseif state == 'decided' then
    if not is_behind(id, event) then
      if is_parked(effects_prefix .. id) then
        make_job(effects_prefix .. id, EFFECTS_PAYLOAD, PARKED)
      else
        wake_effects(id)
      end
      count('decided_without_job')
    end
  elseif lane then
    redis.call('RPUSH', lane, id)
    make_job(lane, ARGV[8], now)
    wake_one()
    count('open_without_lane')
  else
    if not has_type(event, 'hash') then
      redis.call('DEL', event)
    end
    redis.call('ZADD', dead, now, id)
    redis.call('HSET', event, 'state', 'dead', 'outcome', 'payload_missing')
    redis.call('ZREM', open, id)
    redis.call('HDEL', event, 'waiting_for', 'next_ms')
    count('open_without_bytes')
  end
end

-- The job of a parked lane is checked when it is freed; its events are checked with all open events.
local function repair_job(job, score)
  if tonumber(score) == PARKED then
    if is_parked(job) or redis.call('EXISTS', rebuild) == 1 then
      return -- while the accounts are rebuilt, their jobs stay parked
    end
    redis.call('ZADD', queue, 'XX', now, job)
    wake_one()
    count('parked_without_account')
  end
  if starts_with(job, lane_prefix) then
    if (not has_type(job, 'list') or redis.call('LLEN', job) == 0) and redis.call('EXISTS', lease_key(job)) == 0 then
      drop_job(job)
      count('job_without_lane')
    elseif redis.call('EXISTS', 'arq:job:' .. job) == 0 then
      redis.call('SET', 'arq:job:' .. job, ARGV[8])
      count('job_without_payload')
    end
  elseif starts_with(job, effects_prefix) and not received_at(string.sub(job, #effects_prefix + 1)) then
    if redis.call('EXISTS', lease_key(job)) == 0 then
      drop_job(job)
      count('effects_without_event')
    end
  end
  if redis.call('ZSCORE', queue, job) == 'inf' then
    redis.call('ZADD', queue, 'XX', now, job)
    count('job_never_due')
  end
  if redis.call('EXISTS', lease_key(job)) == 1 and redis.call('PTTL', lease_key(job)) < 0 then
    redis.call('DEL', lease_key(job))
    count('lease_without_expiry')
  end
end

-- A clock that was set back delays jobs and leases until it reaches its old time again. Entries more than one lease
-- ahead become due now: an early retry is harmless, a stopped queue is not.
local function repair_clock()
  local lease = tonumber(ARGV[10])
  local seen = number_of(place, redis.call('HGET', place, 'clock'))
  if now < seen - 1000 then
    redis.call('HSET', place, 'set_back', 1)
  end
  redis.call('HSET', place, 'clock', now)
  if redis.call('HEXISTS', place, 'set_back') == 0 then
    return
  end
  local latest = string.format('(%d', PARKED)
  local ahead = redis.call('ZRANGE', queue, '(' .. now + lease, latest, 'BYSCORE', 'LIMIT', 0, items_max)
  for _, job in ipairs(ahead) do
    local locked = redis.call('EXISTS', lease_key(job)) == 1
    if locked and redis.call('PTTL', lease_key(job)) > lease then
      redis.call('PEXPIRE', lease_key(job), lease)
    end
    redis.call('ZADD', queue, 'XX', locked and now + lease or now, job)
    count('ahead_of_clock')
  end
  if #ahead < items_max then
    redis.call('HDEL', place, 'set_back')
  end
  wake_one()
end

-- Add one event to the index that its keys show, and to its lane or the queue.
local function rebuild_event(id)
  local event, as = prefix .. 'event:' .. id, end_of(id)
  if as then
    local ms_left = redis.call('PTTL', prefix .. 'history:' .. id)
    local ended_ms = ms_left > 0 and math.min(now, now + ms_left - retention_ms) or now
    if redis.call('ZADD', ended, 'NX', string.format('%.0f', ended_ms), id) == 1 then
      count('index_rebuilt')
    end
  elseif field(event, 'state') == 'dead' then
    if redis.call('ZADD', dead, 'NX', now, id) == 1 then
      count('index_rebuilt')
    end
  elseif not redis.call('ZSCORE', open, id) then
    if received_at(id) then
      count('index_rebuilt')
      repair_open(id)
    end
  else
    repair_open(id)
  end
end

-- Quarantined deliveries whose index was set aside count as new.
local function rebuild_quarantine(source)
  local index = prefix .. 'quarantine:' .. source
  local kept = index .. ':kept'
  redis.call('SADD', prefix .. 'quarantines', source)
  if redis.call('EXISTS', index) == 1 then
    return
  end
  for _, id in ipairs(redis.call('HKEYS', kept)) do
    redis.call('ZADD', index, now, id)
    count('index_rebuilt')
  end
  redis.call('PEXPIRE', index, math.max(redis.call('PTTL', kept), 1))
end

local function rebuild_key(key)
  local kind, name = string.match(string.sub(key, #prefix + 1), '^(%l+):(.+)$')
  if kind == 'event' or kind == 'delivery' or kind == 'history' then
    rebuild_event(name)
  elseif kind == 'parked' and has_type(key, 'zset') and redis.call('SADD', prefix .. 'parked', name) == 1 then
    count('index_rebuilt')
  elseif kind == 'quarantine' and has_type(key, 'hash') and string.find(name, ':kept$') then
    rebuild_quarantine(string.sub(name, 1, -6))
  end
end

-- After an index or the queue was set aside: scan all keys, a part in each call.
local function rebuild_indexes()
  local cursor = text(rebuild)
  if not cursor then
    return 0
  end
  local part = redis.call('SCAN', string.match(cursor, '^%d+$') or '0', 'COUNT', items_max)
  for _, key in ipairs(part[2]) do
    if starts_with(key, prefix) and not string.find(key, ':damaged:?%d*$') then
      rebuild_key(key)
    end
  end
  if part[1] ~= '0' then
    redis.call('SET', rebuild, part[1])
    return 1
  end
  redis.call('DEL', rebuild)
  return 0
end

local rebuilding = rebuild_indexes()
repair_clock()
local ids = slice(open, 'open')
for i = 1, #ids, 2 do
  repair_open(ids[i])
end
local jobs = slice(queue, 'queue')
for i = 1, #jobs, 2 do
  repair_job(jobs[i], jobs[i + 1])
end

-- Return members older than `ms`. A full slice means that more follow.
local function expired(key, ms, limit)
  local over = redis.call('ZRANGE', key, '-inf', now - ms, 'BYSCORE', 'LIMIT', 0, limit)
  if #over == limit then
    more, expired_left = 1, 1
  end
  return over
end

for _, id in ipairs(expired(ended, retention_ms, items_max * ENDED_PER_ITEM)) do
  redis.call('ZREM', ended, id)
  count('ended_expired')
end
if dead_ms > 0 then
  for _, id in ipairs(expired(dead, dead_ms, items_max)) do
    end_event('', '', id, 'expired', ARGV[6], ARGV[9])
    redis.call('ZREM', dead, id)
    count('dead_letters_expired')
  end
  local trimmed = redis.call('XTRIM', prefix .. 'dead_jobs', 'MINID', '=', string.format('%d', now - dead_ms))
  if trimmed > 0 then
    repaired['dead_jobs_expired'] = trimmed
  end
end

-- Check the byte count of one source's quarantine per sweep. Quarantines with more entries than the limit are skipped.
local sources = redis.call('SMEMBERS', prefix .. 'quarantines')
if #sources > 0 then
  local turn = redis.call('HINCRBY', place, 'quarantine', 1) % #sources
  local index = prefix .. 'quarantine:' .. sources[turn + 1]
  if redis.call('EXISTS', index) == 0 and redis.call('EXISTS', rebuild) == 1 then
    rebuild_quarantine(sources[turn + 1])
  elseif redis.call('EXISTS', index) == 0 then
    redis.call('SREM', prefix .. 'quarantines', sources[turn + 1])
    redis.call('DEL', index .. ':kept', index .. ':bytes', index .. ':unverified')
  elseif redis.call('HLEN', index .. ':kept') <= items_max * ENDED_PER_ITEM then
    local bytes = 0
    for _, id in ipairs(redis.call('HKEYS', index .. ':kept')) do
      if redis.call('ZSCORE', index, id) then
        bytes = bytes + redis.call('HSTRLEN', index .. ':kept', id)
      else
        redis.call('HDEL', index .. ':kept', id)
        count('quarantined_without_index')
      end
    end
    if tonumber(redis.call('GET', index .. ':bytes') or 0) ~= bytes then
      redis.call('SET', index .. ':bytes', bytes, 'KEEPTTL')
      count('counter_drifted')
    end
  end
end

-- Remove heartbeats of workers that disappeared without a shutdown.
local beats = redis.call('HGETALL', prefix .. 'workers')
for i = 1, #beats, 2 do
  local expires_at = tonumber(string.match(beats[i + 1], '^%d+') or 0)
  if expires_at < tonumber(clock[1]) - WORKER_SILENT_SECONDS_MAX then
    redis.call('HDEL', prefix .. 'workers', beats[i])
    count('workers_expired')
  end
end
for _, copy in ipairs(redis.call('HKEYS', prefix .. 'damaged')) do
  if redis.call('EXISTS', copy) == 0 then
    redis.call('HDEL', prefix .. 'damaged', copy)
  end
end
local flat = {}
for name, number in pairs(repaired) do
  flat[#flat + 1] = name
  flat[#flat + 1] = number
end
return {'swept', flat, more, expired_left, rebuilding}
