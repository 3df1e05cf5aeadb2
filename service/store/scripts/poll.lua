#!lua flags=allow-oom
-- The state of a poll: who polls, how far the pass has come, what was last seen of each record.
-- ARGV: prefix, queue, source, token of the poller, lease_ms, step, then
-- claim: gives {'go', cursor, pass, seen, changed, missed}, {'rest', ms} until the next pass is due, {'busy', ms} while
--   another one polls.
-- note: cursor, seen, changed, missed (of the pass so far), then per record bucket, id, what was seen.
-- known: per record bucket, id. Gives 'ok', then per record what was seen ('' for nothing).
-- shelf: first bucket, last bucket. Gives 'ok', then id, what was seen, … of all in them.
-- leave: ms until somebody may go on; ended: ms until the next pass.
-- All but claim give {'lost'} where another one polls now; a call may be repeated.
local key, token, lease_ms, step = prefix .. 'poll:' .. ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local lock, shelf = key .. ':lock', prefix .. 'polled:' .. ARGV[3] .. ':'

local function number(name)
  return tonumber(redis.call('HGET', key, name) or 0)
end

if step == 'claim' then
  local holder = redis.call('GET', lock)
  if holder and holder ~= token then
    return {'busy', redis.call('PTTL', lock)}
  end
  local due = number('due')
  if due > now then
    return {'rest', due - now}
  end
  redis.call('SET', lock, token, 'PX', lease_ms)
  local cursor = redis.call('HGET', key, 'cursor') or ''
  return {'go', cursor, number('pass'), number('seen'), number('changed'), number('missed')}
end

if redis.call('GET', lock) ~= token then
  if (step == 'ended' or step == 'leave') and redis.call('HGET', key, 'by') == token then
    return {'ok'} -- repeated: it has left already
  end
  return {'lost'}
end
redis.call('PEXPIRE', lock, lease_ms)

if step == 'note' then
  redis.call('HSET', key, 'cursor', ARGV[7], 'seen', ARGV[8], 'changed', ARGV[9], 'missed', ARGV[10])
  for i = 11, #ARGV, 3 do
    redis.call('HSET', shelf .. ARGV[i], ARGV[i + 1], ARGV[i + 2])
  end
elseif step == 'known' then
  local answer = {'ok'}
  for i = 7, #ARGV, 2 do
    answer[#answer + 1] = redis.call('HGET', shelf .. ARGV[i], ARGV[i + 1]) or ''
  end
  return answer
elseif step == 'shelf' then
  local answer = {'ok'}
  for bucket = tonumber(ARGV[7]), tonumber(ARGV[8]) do
    for _, item in ipairs(redis.call('HGETALL', shelf .. bucket)) do
      answer[#answer + 1] = item
    end
  end
  return answer
elseif step == 'ended' then
  redis.call('HINCRBY', key, 'pass', 1)
  redis.call('HDEL', key, 'cursor', 'seen', 'changed', 'missed')
  redis.call('HSET', key, 'due', now + ARGV[7], 'by', token)
  redis.call('DEL', lock)
else
  redis.call('HSET', key, 'due', now + ARGV[7], 'by', token)
  redis.call('DEL', lock)
end
return {'ok'}
