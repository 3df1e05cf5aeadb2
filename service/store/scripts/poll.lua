#!lua flags=allow-oom
-- Read and write the state of a poll: its lease, the cursor of the pass, and the fingerprint of each record.
-- ARGV: prefix, queue, source, token of the poller, lease_ms, step, then by step:
-- claim: no arguments. Returns {'claimed', cursor, pass, records_listed, changed, missed}, {'waiting', ms until the
--   next pass}, or {'busy', ms} while another worker polls.
-- save_page: cursor, records_listed, changed, missed (of the pass so far), then per record bucket, id, fingerprint.
-- fingerprints: per record bucket, id. Returns 'ok', then per record its fingerprint ('' for none).
-- bucket_range: first bucket, last bucket. Returns 'ok', then id and fingerprint of every record in them, flat.
-- release: ms until the pass may continue. end: ms until the next pass.
-- All steps but claim return {'lost'} if another worker polls now. A call may be repeated.
local key, token, lease_ms, step = prefix .. 'poll:' .. ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local lock, buckets = key .. ':lock', prefix .. 'polled:' .. ARGV[3] .. ':'

local function number(name)
  return number_of(key, redis.call('HGET', key, name))
end

if step == 'claim' then
  local holder = holder_of(lock)
  if holder and holder ~= token then
    return {'busy', redis.call('PTTL', lock)}
  end
  local due = number('due')
  if due > now then
    return {'waiting', due - now}
  end
  redis.call('SET', lock, token, 'PX', lease_ms)
  local cursor = redis.call('HGET', key, 'cursor') or ''
  return {'claimed', cursor, number('pass'), number('records_listed'), number('changed'), number('missed')}
end

if redis.call('GET', lock) ~= token then
  if (step == 'end' or step == 'release') and redis.call('HGET', key, 'by') == token then
    return {'ok'} -- a repeated call: the lease was released already
  end
  return {'lost'}
end
redis.call('PEXPIRE', lock, lease_ms)

if step == 'save_page' then
  redis.call('HSET', key, 'cursor', ARGV[7], 'records_listed', ARGV[8], 'changed', ARGV[9], 'missed', ARGV[10])
  for i = 11, #ARGV, 3 do
    redis.call('HSET', buckets .. ARGV[i], ARGV[i + 1], ARGV[i + 2])
  end
elseif step == 'fingerprints' then
  local answer = {'ok'}
  for i = 7, #ARGV, 2 do
    answer[#answer + 1] = redis.call('HGET', buckets .. ARGV[i], ARGV[i + 1]) or ''
  end
  return answer
elseif step == 'bucket_range' then
  local answer = {'ok'}
  for bucket = tonumber(ARGV[7]), tonumber(ARGV[8]) do
    for _, item in ipairs(redis.call('HGETALL', buckets .. bucket)) do
      answer[#answer + 1] = item
    end
  end
  return answer
elseif step == 'end' then
  redis.call('HINCRBY', key, 'pass', 1)
  redis.call('HDEL', key, 'cursor', 'records_listed', 'changed', 'missed')
  redis.call('HSET', key, 'due', now + ARGV[7], 'by', token)
  redis.call('DEL', lock)
else
  redis.call('HSET', key, 'due', now + ARGV[7], 'by', token)
  redis.call('DEL', lock)
end
return {'ok'}
