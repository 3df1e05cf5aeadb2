#!lua flags=allow-oom
-- Look at a bounded slice of what is kept and mend, in this same call, what breaks an invariant. One sweeper at a time.
-- ARGV: prefix, queue, sweeper, its turn in ms, items_max, keep_ms of ended events, dead letters kept in ms (0: for
-- ever), lane payload, effects payload, body_ms, lease_ms. Gives {} if another one sweeps, else 'swept', names and counts
-- of what was repaired, and 1 if there is more to look at before a pass is over, else 0.
local holder = redis.call('SET', prefix .. 'sweeper', ARGV[3], 'NX', 'GET', 'PX', ARGV[4])
if holder and holder ~= ARGV[3] then
  return {}
end
redis.call('PEXPIRE', prefix .. 'sweeper', ARGV[4])
local items_max, keep_ms, dead_ms = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local place = prefix .. 'sweep'
local repaired, more = {}, 0
local LANE_LOOKED_THROUGH_MAX = 1000 -- a longer lane is looked through once it is shorter: finding a place in it takes time
local ENDED_PER_ITEM = 10 -- forgetting an ended event is one removal: as many have to go as come
local WORKER_SILENT_SECONDS_MAX = 86400

local function count(name)
  repaired[name] = (repaired[name] or 0) + 1
end

-- A slice of a sorted set, from where the last sweep stopped; begins anew at the end.
local function slice(key, name)
  local from = tonumber(redis.call('HGET', place, name) or 0)
  local members = redis.call('ZRANGE', key, from, from + items_max - 1)
  redis.call('HSET', place, name, #members == items_max and from + items_max or 0)
  if #members == items_max then
    more = 1
  end
  return members
end

local function lane_of(id)
  local told = told_by_delivery(id)
  return told and lane_prefix .. told[4]
end

local function mend_open(id)
  local event = prefix .. 'event:' .. id
  local state = ended_as(id) and 'ended' or redis.call('HGET', event, 'state')
  if state == 'ended' or state == 'dead' then
    redis.call('ZREM', open, id)
    return count('open_but_ended')
  end
  if redis.call('ZSCORE', queue, effects_prefix .. id) then
    return
  end
  local lane = lane_of(id)
  if lane and (redis.call('LLEN', lane) > LANE_LOOKED_THROUGH_MAX or redis.call('LPOS', lane, id)) then
    if make_job(lane, ARGV[8], now) then
      count('lane_without_job')
      wake_one()
    end
  elseif state == 'decided' then
    make_job(effects_prefix .. id, ARGV[9], now)
    wake_one()
    count('decided_without_job')
  elseif lane then
    redis.call('RPUSH', lane, id)
    make_job(lane, ARGV[8], now)
    wake_one()
    count('open_without_lane')
  else
    redis.call('ZREM', open, id)
    redis.call('HSET', event, 'state', 'dead', 'fate', 'payload_missing')
    redis.call('HDEL', event, 'waits_for', 'next_ms')
    redis.call('ZADD', dead, now, id)
    count('open_without_bytes')
  end
end

local function mend_job(job)
  if starts_with(job, lane_prefix) then
    if redis.call('LLEN', job) == 0 and redis.call('EXISTS', lock_of(job)) == 0 then
      drop_job(job)
      count('job_without_lane')
    elseif redis.call('EXISTS', 'arq:job:' .. job) == 0 then
      redis.call('SET', 'arq:job:' .. job, ARGV[8])
      count('job_without_payload')
    end
  elseif starts_with(job, effects_prefix) and not redis.call('ZSCORE', open, string.sub(job, #effects_prefix + 1)) then
    if redis.call('EXISTS', lock_of(job)) == 0 then
      drop_job(job)
      count('effects_without_event')
    end
  end
  if redis.call('EXISTS', lock_of(job)) == 1 and redis.call('PTTL', lock_of(job)) < 0 then
    redis.call('DEL', lock_of(job))
    count('lease_without_expiry')
  end
end

-- A clock that was set back leaves jobs and locks that would wait until it has caught up. All that lies further ahead than
-- a lease becomes due now: an early retry does no harm, an hour's silence does.
local function mend_clock()
  local lease = tonumber(ARGV[11])
  local seen = tonumber(redis.call('HGET', place, 'clock') or 0)
  if now < seen - 1000 then
    redis.call('HSET', place, 'set_back', 1)
  end
  redis.call('HSET', place, 'clock', now)
  if redis.call('HEXISTS', place, 'set_back') == 0 then
    return
  end
  local ahead = redis.call('ZRANGE', queue, '(' .. now + lease, '+inf', 'BYSCORE', 'LIMIT', 0, items_max)
  for _, job in ipairs(ahead) do
    local locked = redis.call('EXISTS', lock_of(job)) == 1
    if locked and redis.call('PTTL', lock_of(job)) > lease then
      redis.call('PEXPIRE', lock_of(job), lease)
    end
    redis.call('ZADD', queue, 'XX', locked and now + lease or now, job)
    count('ahead_of_clock')
  end
  if #ahead < items_max then
    redis.call('HDEL', place, 'set_back')
  end
  wake_one()
end

mend_clock()
for _, id in ipairs(slice(open, 'open')) do
  mend_open(id)
end
for _, job in ipairs(slice(queue, 'queue')) do
  mend_job(job)
end

-- What outlived its time. A slice that is full has more behind it.
local function outlived(key, ms, limit)
  local over = redis.call('ZRANGE', key, '-inf', now - ms, 'BYSCORE', 'LIMIT', 0, limit)
  if #over == limit then
    more = 1
  end
  return over
end

for _, id in ipairs(outlived(ended, keep_ms, items_max * ENDED_PER_ITEM)) do
  redis.call('ZREM', ended, id)
  count('ended_expired')
end
if dead_ms > 0 then
  for _, id in ipairs(outlived(dead, dead_ms, items_max)) do
    redis.call('ZREM', dead, id)
    end_event('', '', id, 'expired', ARGV[6], ARGV[10])
    count('dead_letters_expired')
  end
  local trimmed = redis.call('XTRIM', prefix .. 'dead_jobs', 'MINID', '=', string.format('%d', now - dead_ms))
  if trimmed > 0 then
    repaired['dead_jobs_expired'] = trimmed
  end
end

-- One source's quarantine at a time: is its count of bytes what it holds? A larger one than can be looked through has to wait.
local sources = redis.call('SMEMBERS', prefix .. 'quarantines')
if #sources > 0 then
  local turn = redis.call('HINCRBY', place, 'quarantine', 1) % #sources
  local index = prefix .. 'quarantine:' .. sources[turn + 1]
  if redis.call('EXISTS', index) == 0 then
    redis.call('SREM', prefix .. 'quarantines', sources[turn + 1])
    redis.call('DEL', index .. ':kept', index .. ':bytes')
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

-- A worker that vanished without a word leaves its heartbeat behind.
local beats = redis.call('HGETALL', prefix .. 'workers')
for i = 1, #beats, 2 do
  local believed = tonumber(string.match(beats[i + 1], '^%d+')) or 0
  if believed < tonumber(clock[1]) - WORKER_SILENT_SECONDS_MAX then
    redis.call('HDEL', prefix .. 'workers', beats[i])
    count('workers_expired')
  end
end
local flat = {}
for name, number in pairs(repaired) do
  flat[#flat + 1] = name
  flat[#flat + 1] = number
end
return {'swept', flat, more}
