#!lua flags=allow-oom
-- Write the results of an event's effects, and its next step. ARGV: prefix, queue, then 15 per event: job, token, id,
-- history line, ledger ('' to keep it), step, outcome or reason to wait, delay_ms, order of the effects, retention_ms,
-- body_ms, more, version of a stale read ('' for none), account to park under ('' for none), number of outputs; then 9
-- per output: position of its effect, 'event' and the arguments of ingest, or 'entry', stream, length_max, event, rule,
-- data, '', ''. An output is written once, by the call that marks its effect as done.
-- Steps: note (write only), end, bury (dead letter), defer (run the effects later, off the lane), postpone (the same,
-- and do not count the attempt), behind (the same, after the effects of earlier events), hold (requeue the job), release
-- (requeue the job, and do not count the attempt), late (results whose lease expired; the outcome is the last replay
-- that the attempt saw).
-- Returns per event {'ok'}, the result of proceed, {'held'}, {'lost'}, or {'known'} if it would undo a done effect. For
-- late: {'settled'}, {'superseded'} if the effects are not open any more, or {'running'} if another attempt runs.
local answers = {}

local function undoes(event, ledger)
  local before = field(event, 'ledger') or ''
  for i = 1, #before do
    if string.sub(before, i, i) == 'd' and string.sub(ledger, i, i) ~= 'd' then
      return true
    end
  end
  return false
end

-- Store the reason for waiting, which the API shows. `bury` removes it.
local function set_waiting(token, event, delay, reason)
  redis.call('HDEL', event, 'running')
  redis.call('HSET', event, 'by', token, 'waiting_for', reason, 'next_ms', now + delay)
end

-- Move the effects of an event off its lane.
local function postpone(job, token, id, delay, reason, account)
  set_waiting(token, prefix .. 'event:' .. id, delay, reason)
  make_job(effects_prefix .. id, EFFECTS_PAYLOAD, now + delay)
  if account ~= '' then
    redis.call('HDEL', prefix .. 'event:' .. id, 'next_ms')
    park(effects_prefix .. id, account)
  end
  leave_lane(job, id)
  wake_one()
end

-- The event has no job until the earlier effects are finished: then `leave_list` creates one.
local function wait_behind(job, token, id)
  local event = prefix .. 'event:' .. id
  redis.call('HSET', event, 'by', token, 'waiting_for', 'earlier_effect')
  redis.call('HDEL', event, 'running', 'next_ms')
  if starts_with(job, effects_prefix) then
    drop_job(job)
    return {'held'}
  end
  leave_lane(job, id)
  return nil
end

-- With the name of an account the job is parked under it, for no certain time.
local function wait(job, token, event, delay, reason, uncounted, account)
  set_waiting(token, event, delay, reason)
  if uncounted then
    redis.call('HINCRBY', event, 'attempts', -1)
  end
  if account ~= '' then
    redis.call('HDEL', event, 'next_ms')
    park(job, account)
  else
    requeue(job, now + delay)
  end
  return {'held'}
end

-- The event leaves `open` only after it is a dead letter, so that a failed command loses no event.
local function bury(job, token, id, kind)
  local event = prefix .. 'event:' .. id
  redis.call('ZADD', dead, now, id)
  redis.call('HSET', event, 'state', 'dead', 'outcome', kind, 'by', token)
  leave(job, id)
  redis.call('HDEL', event, 'running', 'waiting_for', 'next_ms')
end

local function put_event(i)
  local _, made = add_event(i)
  if made then
    wake_one()
  end
end

local function put_entry(i)
  local stream = prefix .. 'stream:' .. ARGV[i]
  redis.call(
    'XADD', stream, 'MAXLEN', ARGV[i + 1], '*', 'event_id', ARGV[i + 2], 'rule', ARGV[i + 3], 'data', ARGV[i + 4]
  )
end

-- `before` is the stored ledger: outputs of effects that are done there were written by an earlier call.
local function put(i, count, before, after)
  for at = i, i + (count - 1) * 9, 9 do
    local place = tonumber(ARGV[at])
    if string.sub(before, place, place) ~= 'd' and string.sub(after, place, place) == 'd' then
      if ARGV[at + 1] == 'event' then
        put_event(at + 2)
      else
        put_entry(at + 2)
      end
    end
  end
end

-- Return the stored ledger with the late results of effects that nobody started again: they are still `s`, or `u`.
local function merge(before, late)
  local letters = {}
  for i = 1, #before do
    local letter, result = string.sub(before, i, i), string.sub(late, i, i)
    letters[i] = string.find(letter, '[su]') and string.find(result, '[dfw]') and result or letter
  end
  return table.concat(letters)
end

-- Continue a dead letter whose outcome is not unknown any more.
local function reopen(id, event, ledger)
  if string.find(ledger, 'u', 1, true) or field(event, 'outcome') ~= 'outcome_unknown' then
    return
  elseif string.find(ledger, 'f', 1, true) then
    redis.call('HSET', event, 'outcome', 'effect_failed')
    return
  end
  redis.call('ZADD', open, now, id)
  redis.call('HSET', event, 'state', 'decided')
  redis.call('HDEL', event, 'outcome', 'by')
  make_job(effects_prefix .. id, EFFECTS_PAYLOAD, now)
  wake_one()
  redis.call('ZREM', dead, id)
end

-- A replay starts effects again, and a running attempt may be about to do so.
local function settle_late(i)
  local token, id, late = ARGV[i + 1], ARGV[i + 2], ARGV[i + 4]
  local event = prefix .. 'event:' .. id
  local held = fields_of(event, 'running', 'state', 'ledger', 'asked', 'order', 'queued') or {}
  if held[1] and held[1] ~= token then
    return {'running'}
  end
  local before = held[3] or ''
  local ledger = merge(before, late)
  if (held[2] ~= 'decided' and held[2] ~= 'dead') or (held[4] or '') ~= ARGV[i + 6] or ledger == before then
    return {'superseded'}
  end
  put(i + 15, tonumber(ARGV[i + 14]), before, ledger)
  append_history(id, ARGV[i + 3], false)
  redis.call('HSET', event, 'ledger', ledger)
  if held[2] == 'dead' then
    reopen(id, event, ledger)
  elseif held[5] and held[6] and not queue_effects(id, event, held[5], ledger) then
    -- The event may have waited behind other effects, without a job. A job that exists keeps its due time.
    if make_job(effects_prefix .. id, EFFECTS_PAYLOAD, now) then
      wake_one()
    end
  end
  return {'settled'}
end

-- Steps `defer`, `postpone` and `behind`. Returns nil if the job continues with its lane.
local function defer(i, job, token, id)
  local step, delay = ARGV[i + 5], tonumber(ARGV[i + 7])
  local event = prefix .. 'event:' .. id
  local order, is_behind = ARGV[i + 8], false
  if order ~= '' then
    is_behind = queue_effects(id, event, order, field(event, 'ledger') or '')
  end
  if step == 'behind' and is_behind then
    redis.call('HINCRBY', event, 'attempts', -1)
    return wait_behind(job, token, id)
  elseif starts_with(job, effects_prefix) then
    return wait(job, token, event, delay, ARGV[i + 6], step ~= 'defer', ARGV[i + 13])
  end
  if step ~= 'defer' then
    redis.call('HINCRBY', event, 'attempts', -1)
  end
  postpone(job, token, id, delay, ARGV[i + 6], ARGV[i + 13])
  return nil
end

local function settle(i)
  local job, token, id, step = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 5]
  local event, delay = prefix .. 'event:' .. id, tonumber(ARGV[i + 7])
  local may = check_lease(job, token, id)
  if may == 'no' then
    return {'lost'}
  elseif may == 'over' then
    return {'done'}
  end
  if field(event, 'running') ~= token then
    -- A repeated call: this attempt has ended, and another one may run the event. An attempt awaits its notes before it
    -- continues, so the result of a repeated note is not used, and the next event may be in progress already.
    return step == 'note' and {'done'} or proceed(job, token, ARGV[i + 11])
  end
  if ARGV[i + 4] ~= '' then
    if undoes(event, ARGV[i + 4]) then
      return {'known'}
    end
    put(i + 15, tonumber(ARGV[i + 14]), field(event, 'ledger') or '', ARGV[i + 4])
    redis.call('HSET', event, 'ledger', ARGV[i + 4])
  end
  local line = ARGV[i + 3]
  if step == 'bury' and ARGV[i + 6] == 'undecodable' then
    line = '\n' .. line -- a damaged history may end within a line
  end
  append_history(id, line, step == 'end' or step == 'bury')
  if ARGV[i + 12] ~= '' then
    redis.call('HSET', event, 'stale_version', ARGV[i + 12])
  end
  if step == 'note' then
    return {'ok'}
  elseif step == 'end' then
    end_event(job, token, id, ARGV[i + 6], ARGV[i + 9], ARGV[i + 10])
  elseif step == 'bury' then
    bury(job, token, id, ARGV[i + 6])
  elseif step == 'hold' then
    return wait(job, token, event, delay, ARGV[i + 6], false, '')
  elseif step == 'release' then
    return wait(job, token, event, delay, ARGV[i + 6], true, ARGV[i + 13])
  else
    local held = defer(i, job, token, id)
    if held then
      return held
    end
  end
  return proceed(job, token, ARGV[i + 11])
end

local i = 3
while i <= #ARGV do
  answers[#answers + 1] = (ARGV[i + 5] == 'late' and settle_late or settle)(i)
  i = i + 15 + tonumber(ARGV[i + 14]) * 9
end
return answers
