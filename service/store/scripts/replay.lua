#!lua
-- Put ended or dead events back, by a person's wish. ARGV: prefix, queue, then per event 6: id, lane, lane payload, effects
-- payload, '1' if it was decided ('' if not), the generation that is raised by one ('' to finish what is unfinished);
-- before them a token of this call, which gives the same answers when it is repeated.
-- Gives per event 'lane' or 'effects' (where it went), 'open' (it is under way), 'gone' (erased, or its bytes are needed
-- and dropped), or 'over': what was asked for was done meanwhile, by this very call or by another one. What is done is
-- read here and now and not from what the asker saw, so that no repeated or late call undoes it.
local answers = {}

-- Where an ended event stood becomes a hash again.
local function unseal(id, event)
  local as = ended_as(id)
  if as then
    local story = prefix .. 'story:' .. id
    redis.call('SET', story, string.sub(redis.call('GET', story), 1, -as[8] - 1))
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
  redis.call('HDEL', event, 'fate', 'deaths', 'running', 'by', 'reason')
  redis.call('HSET', event, 'attempts', 0)
  for _, kind in ipairs({'event:', 'story:', 'delivery:'}) do
    redis.call('PERSIST', prefix .. kind .. id)
  end
end

-- The ledger an event goes on with; '' where it is to be decided, nil where nothing is left of what was asked for.
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
  local held, as = redis.call('HMGET', event, 'state', 'ledger', 'generation', 'asked'), ended_as(id)
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
  elseif redis.call('EXISTS', prefix .. (ledger == '' and 'delivery:' or 'story:') .. id) == 0 then
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
