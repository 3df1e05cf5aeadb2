#!lua
-- Replay ended events and dead letters. ARGV: prefix, queue, token of this call, then 6 per event: id, lane, lane
-- payload, effects payload, '1' if it was decided ('' if not), the generation to increment ('' to run unfinished
-- effects only).
-- A repeated call with the same token returns the same results.
-- Returns per event 'lane' or 'effects' (its new place), 'open' (in progress), 'gone' (erased, or its body is required
-- and no longer stored), or 'over' (nothing is left to do). The ledger is read in this call, not taken from the caller,
-- so that a repeated or late call cannot undo a done effect.
local answers = {}

-- Open the event with its ledger ('' if it is not decided), and start a new attempt count. The event leaves `dead` or
-- `ended` only after it is open, so that a failed command loses no event: the sweep creates a missing job.
local function reopen(id, event, ledger, generation)
  redis.call('ZADD', open, now, id)
  for _, kind in ipairs({'event:', 'history:', 'delivery:'}) do
    redis.call('PERSIST', prefix .. kind .. id)
  end
  if ledger == '' then
    redis.call('HSET', event, 'attempts', 0)
    redis.call('HDEL', event, 'state')
  elseif generation then
    redis.call('HSET', event, 'state', 'decided', 'ledger', ledger, 'attempts', 0, 'generation', generation)
  else
    redis.call('HSET', event, 'state', 'decided', 'ledger', ledger, 'attempts', 0)
  end
  redis.call('HDEL', event, 'outcome', 'worker_crashes', 'running', 'by', 'reason', 'damaged', 'stale_version')
  redis.call('ZREM', dead, id)
  redis.call('ZREM', ended, id)
end

-- Return the ledger for the replay; '' if the event is not decided yet, nil if nothing is left to do.
local function ledger_of(held, decided, raised)
  local ledger = held[2] or ''
  if decided == '' then
    return held[1] == 'dead' and ledger == '' and '' or nil
  elseif raised ~= '' then
    return ledger ~= '' and raised == (held[3] or '0') and string.gsub(ledger, '.', 'p') or nil
  end
  local left = string.gsub(ledger, '[^dx]', 'p')
  return string.find(left, 'p', 1, true) and left
end

local function replay(i)
  local id, lane = ARGV[i], lane_prefix .. ARGV[i + 1]
  local event = prefix .. 'event:' .. id
  local held, as = fields_of(event, 'state', 'ledger', 'generation', 'asked') or {}, end_of(id)
  if as then
    -- An event that ended without a decision on a stale read is decided again, as a dead letter.
    held = {as[1] == 'stale' and 'dead' or 'ended', as[3], as[4] ~= '' and as[4], as[6]}
  end
  local asked = ARGV[3] .. ':' .. i
  local went = string.match(held[4] or '', '^' .. asked .. ':(%l+)$')
  if went then
    return went
  elseif received_at(id) then
    return 'open'
  elseif not held[1] then
    return 'gone'
  end
  local ledger = ledger_of(held, ARGV[i + 4], ARGV[i + 5])
  if not ledger then
    return 'over'
  elseif redis.call('EXISTS', prefix .. (ledger == '' and 'delivery:' or 'history:') .. id) == 0 then
    return 'gone'
  end
  local place, job, payload = 'effects', effects_prefix .. id, ARGV[i + 3]
  if ledger == '' then
    place, job, payload = 'lane', lane, ARGV[i + 2]
    redis.call('LLEN', lane) -- a damaged lane fails before any write
  end
  reopen(id, event, ledger, ARGV[i + 5] ~= '' and ARGV[i + 5] + 1 or held[3])
  remove_final_fields(id)
  if place == 'lane' then
    redis.call('RPUSH', lane, id)
  end
  make_job(job, payload, now)
  redis.call('HSET', event, 'asked', asked .. ':' .. place)
  wake_one()
  return place
end

for i = 4, #ARGV, 6 do
  answers[#answers + 1] = replay(i)
end
return answers
