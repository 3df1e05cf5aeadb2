#!lua
-- Put ended or dead events back, by a person's wish. ARGV: prefix, queue, then per event 6: id, lane, lane payload, effects
-- payload, ledger its effects go on with ('' where it was never decided), generation raised by ('0' or '1').
-- Gives per event 'lane' or 'effects' (where it went), 'open' (it is under way), or 'gone' (erased, or its bytes are needed
-- and dropped).
local answers = {}

local function reopen(id, event)
  redis.call('ZREM', dead, id)
  redis.call('ZREM', ended, id)
  redis.call('ZADD', open, now, id)
  redis.call('HDEL', event, 'fate', 'deaths', 'running', 'by', 'reason')
  redis.call('HSET', event, 'attempts', 0)
  for _, kind in ipairs({'event:', 'story:', 'delivery:'}) do
    redis.call('PERSIST', prefix .. kind .. id)
  end
end

local function replay(i)
  local id, lane, ledger = ARGV[i], lane_prefix .. ARGV[i + 1], ARGV[i + 4]
  local event = prefix .. 'event:' .. id
  if redis.call('ZSCORE', open, id) then
    return 'open'
  elseif redis.call('EXISTS', event) == 0 then
    return 'gone'
  elseif ledger == '' then
    if redis.call('EXISTS', prefix .. 'delivery:' .. id) == 0 then
      return 'gone'
    end
    reopen(id, event)
    redis.call('HDEL', event, 'state', 'ledger')
    redis.call('RPUSH', lane, id)
    make_job(lane, ARGV[i + 2], now)
    wake_one()
    return 'lane'
  elseif redis.call('EXISTS', prefix .. 'story:' .. id) == 0 then
    return 'gone'
  end
  reopen(id, event)
  redis.call('HSET', event, 'state', 'decided', 'ledger', ledger)
  redis.call('HINCRBY', event, 'generation', ARGV[i + 5])
  make_job(effects_prefix .. id, ARGV[i + 3], now)
  wake_one()
  return 'effects'
end

for i = 3, #ARGV, 6 do
  answers[#answers + 1] = replay(i)
end
return answers
