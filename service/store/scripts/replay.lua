#!lua
-- Replay ended events and dead letters. ARGV: prefix, queue, token of this call, then 6 per event: id, lane, lane
-- payload, effects payload, '1' if it was decided ('' if not), the generation to increment ('' to run unfinished
-- effects only).
-- A repeated call with the same token returns the same results.
-- Returns per event 'lane' or 'effects' (its new place), 'open' (in progress), 'gone' (erased, or its body is required
-- and no longer stored), or 'over' (nothing is left to do). The ledger is read in this call, not taken from the caller,
-- so that a repeated or late call cannot undo a done effect.
local answers = {}

-- Move the final fields of an ended event back into a hash.
local function unseal(id, event)
  local as = end_of(id)
  if as then
    local history = prefix .. 'history:' .. id
    redis.call('SET', history, string.sub(redis.call('GET', history), 1, -as[8] - 1))
    if as[4] ~= '' then
      redis.call('HSET', event, 'generation', as[4])
    end
  end
end

local function reopen(id, event)
  unseal(id, event)
  redis.call('ZREM', dead, id)
  redis.call('ZREM', ended, id)
  redis.call('ZADD', open, now, id)
  redis.call('HDEL', event, 'outcome', 'worker_crashes', 'running', 'by', 'reason', 'damaged')
  redis.call('HSET', event, 'attempts', 0)
  for _, kind in ipairs({'event:', 'history:', 'delivery:'}) do
    redis.call('PERSIST', prefix .. kind .. id)
  end
end

-- Return the ledger for the replay; '' if the event is not decided yet, nil if nothing is left to do.
local function ledger_of(held, decided, raised)
  local ledger = held[2] or ''
  if decided == '' then
    return held[1] == 'dead' and ledger == '' and '' or nil
  elseif raised ~= '' then
    return ledger ~= '' and raised == (held[3] or '0') and string.gsub(ledger, '.', 'p') or nil
  end
  local left = string.gsub(ledger, '[^d]', 'p')
  return string.find(left, 'p', 1, true) and left
end

local function replay(i)
  local id, lane = ARGV[i], lane_prefix .. ARGV[i + 1]
  local event = prefix .. 'event:' .. id
  local held, as = redis.call('HMGET', event, 'state', 'ledger', 'generation', 'asked'), end_of(id)
  if as then
    held = {'ended', as[3], as[4] ~= '' and as[4], as[6]}
  end
  local asked = ARGV[3] .. ':' .. i
  local went = string.match(held[4] or '', '^' .. asked .. ':(%l+)$')
  if went then
    return went
  elseif redis.call('ZSCORE', open, id) then
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
  reopen(id, event)
  redis.call('HSET', event, 'asked', asked .. ':' .. (ledger == '' and 'lane' or 'effects'))
  wake_one()
  if ledger == '' then
    redis.call('HDEL', event, 'state')
    redis.call('RPUSH', lane, id)
    make_job(lane, ARGV[i + 2], now)
    return 'lane'
  end
  redis.call('HSET', event, 'state', 'decided', 'ledger', ledger)
  if ARGV[i + 5] ~= '' then
    redis.call('HINCRBY', event, 'generation', 1)
  end
  make_job(effects_prefix .. id, ARGV[i + 3], now)
  return 'effects'
end

for i = 4, #ARGV, 6 do
  answers[#answers + 1] = replay(i)
end
return answers
