-- What several scripts share; put in front of each of them. ARGV[1] is the prefix of our keys, ARGV[2] arq's queue.
local prefix, queue = ARGV[1], ARGV[2]
local lane_prefix, effects_prefix = prefix .. 'lane:', prefix .. 'effects:'
local open, dead, ended, wake = prefix .. 'open', prefix .. 'dead', prefix .. 'ended', prefix .. 'wake'
local WAKE_TOKENS_MAX = 32
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local function starts_with(text, head)
  return string.sub(text, 1, #head) == head
end

-- One text of a msgpack sequence and where the next one begins; nil if there is none. (The server's own cmsgpack does not
-- know the type of the body that follows.)
local function text_at(packed, at)
  local head = string.byte(packed, at)
  if not head then
    return nil
  elseif head >= 0xa0 and head <= 0xbf then
    return string.sub(packed, at + 1, at + head - 0xa0), at + 1 + head - 0xa0
  elseif head == 0xd9 then
    local length = string.byte(packed, at + 1) or 0
    return string.sub(packed, at + 2, at + 1 + length), at + 2 + length
  elseif head == 0xda then
    local high, low = string.byte(packed, at + 1, at + 2)
    local length = (high or 0) * 256 + (low or 0)
    return string.sub(packed, at + 3, at + 2 + length), at + 3 + length
  end
  return nil
end

-- The first fields of `Event`: id, source, type, change, and the record as its lane's name; nil if they cannot be read.
local function told_by(packed)
  local head = string.byte(packed, 1)
  if not head then
    return nil
  end
  local at = head == 0xdc and 5 or 3
  local texts = {}
  for i = 1, 7 do
    if i == 5 then
      at = at + 1
    end
    local text, following = text_at(packed, at)
    if not text then
      return nil
    end
    texts[i], at = text, following
  end
  if at > #packed + 1 then -- the last one may be cut off
    return nil
  end
  return {texts[2], texts[3], texts[4], texts[5] .. ':' .. texts[6] .. ':' .. texts[7]}
end

-- Of a delivery, which may be large, the beginning is enough, unless its names are that long.
local function told_by_delivery(id)
  local key = prefix .. 'delivery:' .. id
  local told = told_by(redis.call('GETRANGE', key, 0, 1023))
  return told or told_by(redis.call('GET', key) or '')
end

local function lock_of(job)
  return 'arq:in-progress:' .. job
end

-- One token wakes one idle worker, which wakes the next one if it leaves due jobs behind.
local function wake_one()
  if redis.call('LLEN', wake) < WAKE_TOKENS_MAX then
    redis.call('LPUSH', wake, 1)
  end
end

local function make_job(job, payload, due)
  if redis.call('ZADD', queue, 'NX', due, job) == 1 then
    redis.call('SET', 'arq:job:' .. job, payload)
    return true
  end
  return false
end

local function drop_job(job)
  redis.call('ZREM', queue, job)
  redis.call('DEL', lock_of(job), 'arq:job:' .. job, 'arq:retry:' .. job)
end

-- A job due later wakes a worker as well: an idle one then knows how long it may sleep.
local function requeue(job, due)
  redis.call('ZADD', queue, 'XX', due, job)
  redis.call('DEL', lock_of(job))
  wake_one()
end

-- The state of an event at the moment a run takes it up. `running` names the run that has it: found there from another
-- run, that one died without a word. A repeated call finds its own token and counts nothing twice.
local suspect_deaths = math.huge -- from so many deaths on an event is left where it is; who takes it up lowers it
local function take_up(id, token)
  local event = prefix .. 'event:' .. id
  local held = redis.call('HMGET', event, 'running', 'attempts', 'deaths', 'state', 'ledger', 'generation')
  local attempts, deaths = tonumber(held[2] or 0), tonumber(held[3] or 0)
  if held[1] ~= token then
    attempts = attempts + 1
    if held[1] then
      deaths = deaths + 1
    end
    if deaths >= suspect_deaths then
      return 'suspect'
    end
    redis.call('HSET', event, 'running', token, 'attempts', attempts, 'deaths', deaths)
  end
  local story = ''
  if held[4] then
    story = redis.call('GET', prefix .. 'story:' .. id)
  end
  local received = redis.call('ZSCORE', open, id)
  local body = redis.call('GET', prefix .. 'delivery:' .. id)
  return {id, received, body, attempts, deaths, held[4] or '', held[5] or '', story or '', tonumber(held[6] or 0)}
end

local function head_of(lane, token)
  while true do
    local id = redis.call('LINDEX', lane, 0)
    if not id then
      return false
    end
    if redis.call('ZSCORE', open, id) then
      local head = take_up(id, token)
      if head ~= 'suspect' then
        head[#head + 1] = redis.call('LLEN', lane)
      end
      return head
    end
    redis.call('LPOP', lane)
  end
end

local function record_of(lane)
  return redis.call('GET', prefix .. 'record:' .. string.sub(lane, #lane_prefix + 1))
end

-- Where a job goes once the event it held has left it: on to the next event, back into the queue, or away.
local function proceed(job, token, more)
  if not starts_with(job, lane_prefix) or redis.call('LLEN', job) == 0 then
    drop_job(job)
    return {'done'}
  end
  if more == '1' then
    suspect_deaths = 1 -- only a claim knows whether the worker has anything else in hand
    local head = head_of(job, token)
    if not head then
      drop_job(job)
      return {'done'}
    elseif head ~= 'suspect' then
      return {'next', now, head, record_of(job)}
    end
  end
  -- The next event was taken up already if the answer that gave it was not waited for: its run has not begun.
  local event = prefix .. 'event:' .. redis.call('LINDEX', job, 0)
  if redis.call('HGET', event, 'running') == token then
    redis.call('HDEL', event, 'running')
    redis.call('HINCRBY', event, 'attempts', -1)
  end
  requeue(job, now)
  return {'requeued'}
end

-- The last line is written with all before it: what grows by appending keeps room for more.
local function add_to_story(id, line, is_last)
  local story = prefix .. 'story:' .. id
  if is_last then
    redis.call('SET', story, (redis.call('GET', story) or '') .. line)
  else
    redis.call('APPEND', story, line)
  end
end

local function leave(job, id)
  redis.call('ZREM', open, id)
  if starts_with(job, lane_prefix) then
    redis.call('LREM', job, 1, id)
  end
end

-- Where an ended event stands is kept behind its story, and no hash of its own: as texts with \31 between, their length in
-- four digits, and \2.
local function end_event(job, token, id, fate, keep_ms, body_ms, reason)
  local event, story = prefix .. 'event:' .. id, prefix .. 'story:' .. id
  leave(job, id)
  local held = redis.call('HMGET', event, 'attempts', 'ledger', 'generation', 'asked')
  local stands = table.concat(
    {fate, held[1] or '0', held[2] or '', held[3] or '', token, held[4] or '', reason or ''}, '\31'
  )
  local whole = (redis.call('GET', story) or '') .. stands .. string.format('%04d', #stands) .. '\2'
  redis.call('SET', story, whole, 'PX', keep_ms)
  redis.call('DEL', event)
  redis.call('PEXPIRE', prefix .. 'delivery:' .. id, body_ms)
  redis.call('ZADD', ended, now, id)
end

-- What `end_event` kept: fate, attempts, ledger, generation, by, asked, reason, and how many bytes it takes; nil if the event
-- has not ended.
local function ended_as(id)
  if redis.call('EXISTS', prefix .. 'event:' .. id) == 1 then
    return nil
  end
  local length = tonumber(string.match(redis.call('GETRANGE', prefix .. 'story:' .. id, -5, -1), '^(%d%d%d%d)\2$'))
  if not length then
    return nil
  end
  local stands = redis.call('GETRANGE', prefix .. 'story:' .. id, -5 - length, -6)
  local parts = {string.match(stands, '^' .. string.rep('([^\31]*)\31', 6) .. '(.*)$')}
  parts[8] = length + 5
  return parts[1] and parts
end

-- May this run write for this job? 'yes', 'no', or 'over': this very run already ended the event and the job with it,
-- and only the answer was lost.
local function standing(job, token, id)
  if redis.call('GET', lock_of(job)) == token then
    return 'yes'
  end
  local as = ended_as(id)
  if (as and as[5] or redis.call('HGET', prefix .. 'event:' .. id, 'by')) == token then
    return 'over'
  end
  return 'no'
end
