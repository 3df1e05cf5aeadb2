#!lua flags=allow-oom
-- Acquire a permit for one call to a platform account. ARGV: prefix, queue, account, token of the call, lease_ms,
-- in_flight_max, per_minute_max (0: no limit), probe_ms. A repeated call with the same token takes no second slot.
-- Returns {'granted'}, or the reason to wait and its time: {'circuit_open', ms}, {'in_flight', ms} or {'rate', ms}.
local account, token, lease_ms = ARGV[3], ARGV[4], tonumber(ARGV[5])
local in_flight_max, per_minute_max = tonumber(ARGV[6]), tonumber(ARGV[7])
local flight, rate, probe = prefix .. 'flight:' .. account, prefix .. 'rate:' .. account, prefix .. 'probe:' .. account
local RETRY_MS, WINDOW_SECONDS = 50, 60

-- Once the time of an open circuit is over, one call is let through as a probe. All others wait for its result.
local circuit = redis.call('HGET', prefix .. 'circuits', account)
local until_ms = circuit and tonumber(string.match(circuit, '^(%d+)')) or 0
if until_ms > now then
  return {'circuit_open', until_ms - now}
end
local prober = until_ms > 0 and redis.call('GET', probe)
if prober and prober ~= token then
  return {'circuit_open', 4 * RETRY_MS}
end

if in_flight_max > 0 then
  redis.call('ZREMRANGEBYSCORE', flight, '-inf', now)
  if redis.call('ZCARD', flight) >= in_flight_max and not redis.call('ZSCORE', flight, token) then
    return {'in_flight', RETRY_MS}
  end
end

-- Count calls by the second of their start. A second counts until all of it is a minute ago, so that no window of 60
-- seconds contains more calls than the limit.
if per_minute_max > 0 then
  local second, taken, oldest = math.floor(now / 1000), 0, nil
  local counts = redis.call('HGETALL', rate)
  for i = 1, #counts, 2 do
    local at = tonumber(counts[i])
    if at < second - WINDOW_SECONDS then
      redis.call('HDEL', rate, counts[i])
    else
      taken = taken + tonumber(counts[i + 1])
      oldest = math.min(oldest or at, at)
    end
  end
  if taken >= per_minute_max then
    return {'rate', (oldest + WINDOW_SECONDS + 1) * 1000 - now}
  end
  redis.call('HINCRBY', rate, second, 1)
  redis.call('EXPIRE', rate, WINDOW_SECONDS + 2)
end

if in_flight_max > 0 then
  redis.call('ZADD', flight, now + lease_ms, token)
  redis.call('PEXPIRE', flight, lease_ms)
end
if until_ms > 0 then
  redis.call('SET', probe, token, 'PX', ARGV[8])
end
return {'granted'}
