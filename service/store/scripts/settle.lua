#!lua flags=allow-oom
-- Write what became of an event's effects, and where the event goes. ARGV: prefix, queue, then per event 13: job, token,
-- id, story line, ledger ('' to leave it), step, fate or what it waits for, delay_ms, payload of an effects job, keep_ms,
-- body_ms, more, how many outputs follow; per output 8: place of its effect, 'event' and what ingest takes, or 'entry',
-- stream, length_max, event, rule, data, ''. An output is written by the call that says its effect is done, once.
-- Steps: note (only write), end, bury, defer (effects later, off the lane), postpone (likewise, and the attempt is given
-- back), hold (the job waits), release (the job waits and the attempt is given back).
-- Gives per event {'ok'} or what proceed gives, {'held'}, {'lost'}, or {'known'}: it would undo an effect known done.
local answers = {}

local function undoes(event, ledger)
  local before = redis.call('HGET', event, 'ledger') or ''
  for i = 1, #before do
    if string.sub(before, i, i) == 'd' and string.sub(ledger, i, i) ~= 'd' then
      return true
    end
  end
  return false
end

-- What a person who asks is told of an event that waits; whoever buries it takes it away.
local function put_off(token, event, delay, reason)
  redis.call('HDEL', event, 'running')
  redis.call('HSET', event, 'by', token, 'waits_for', reason, 'next_ms', now + delay)
end

local function wait(job, token, event, delay, reason, given_back)
  put_off(token, event, delay, reason)
  if given_back then
    redis.call('HINCRBY', event, 'attempts', -1)
  end
  requeue(job, now + delay)
  return {'held'}
end

local function bury(job, token, id, kind)
  local event = prefix .. 'event:' .. id
  leave(job, id)
  redis.call('HSET', event, 'state', 'dead', 'fate', kind, 'by', token)
  redis.call('HDEL', event, 'running', 'waits_for', 'next_ms')
  redis.call('ZADD', dead, now, id)
end

local function put_event(i)
  local id, lane = ARGV[i], lane_prefix .. ARGV[i + 3]
  if redis.call('SET', prefix .. 'claim:' .. ARGV[i + 1], id, 'NX', 'PX', ARGV[i + 2]) then
    redis.call('SET', prefix .. 'delivery:' .. id, ARGV[i + 4])
    redis.call('ZADD', open, now, id)
    redis.call('RPUSH', lane, id)
    if make_job(lane, ARGV[i + 5], now) then
      wake_one()
    end
  end
end

local function put_entry(i)
  local stream = prefix .. 'stream:' .. ARGV[i]
  redis.call(
    'XADD', stream, 'MAXLEN', ARGV[i + 1], '*', 'event_id', ARGV[i + 2], 'rule', ARGV[i + 3], 'data', ARGV[i + 4]
  )
end

-- `before` is the ledger as it was: what it calls done was written by an earlier call.
local function put(i, count, before)
  for at = i, i + (count - 1) * 8, 8 do
    local place = tonumber(ARGV[at])
    if string.sub(before, place, place) ~= 'd' then
      if ARGV[at + 1] == 'event' then
        put_event(at + 2)
      else
        put_entry(at + 2)
      end
    end
  end
end

local function settle(i)
  local job, token, id, step = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 5]
  local event, delay = prefix .. 'event:' .. id, tonumber(ARGV[i + 7])
  local may = standing(job, token, id)
  if may == 'no' then
    return {'lost'}
  elseif may == 'over' then
    return {'done'}
  end
  if redis.call('HGET', event, 'running') ~= token then
    -- A repeated call: the event has left this run, and may be in the hands of another one. A run waits for its notes, so
    -- that nobody waits for this one any more, and the next event may be under way by now.
    return step == 'note' and {'done'} or proceed(job, token, ARGV[i + 11])
  end
  if ARGV[i + 4] ~= '' then
    if undoes(event, ARGV[i + 4]) then
      return {'known'}
    end
    put(i + 13, tonumber(ARGV[i + 12]), redis.call('HGET', event, 'ledger') or '')
    redis.call('HSET', event, 'ledger', ARGV[i + 4])
  end
  local story, line = prefix .. 'story:' .. id, ARGV[i + 3]
  if line ~= '' and redis.call('GETRANGE', story, -#line, -1) ~= line then -- there already: the call is repeated
    add_to_story(id, line, step == 'end' or step == 'bury')
  end
  if step == 'note' then
    return {'ok'}
  elseif step == 'end' then
    end_event(job, token, id, ARGV[i + 6], ARGV[i + 9], ARGV[i + 10])
  elseif step == 'bury' then
    bury(job, token, id, ARGV[i + 6])
  elseif step == 'hold' or (step == 'defer' and starts_with(job, effects_prefix)) then
    return wait(job, token, event, delay, ARGV[i + 6], false)
  elseif step == 'release' or (step == 'postpone' and starts_with(job, effects_prefix)) then
    return wait(job, token, event, delay, ARGV[i + 6], true)
  elseif step == 'defer' or step == 'postpone' then
    if step == 'postpone' then
      redis.call('HINCRBY', event, 'attempts', -1)
    end
    put_off(token, event, delay, ARGV[i + 6])
    redis.call('LREM', job, 1, id)
    make_job(effects_prefix .. id, ARGV[i + 8], now + delay)
    wake_one()
  end
  return proceed(job, token, ARGV[i + 11])
end

local i = 3
while i <= #ARGV do
  answers[#answers + 1] = settle(i)
  i = i + 13 + tonumber(ARGV[i + 12]) * 8
end
return answers
