#!lua flags=allow-oom
-- Acquire a permit for one call to an account or destination. ARGV: prefix, queue, account, token of the call, lease_ms,
-- in_flight_max, per_minute_max (0: no limit), probe_ms, per_second_max (0: no limit), burst_max. A repeated call with
-- the same token takes no second slot.
-- Returns {'granted'}, or the reason to wait and its time: {'circuit_open', ms}, {'in_flight', ms} or {'rate', ms}.
local account, token, lease_ms = ARGV[3], ARGV[4], tonumber(ARGV[5])
local in_flight_max, per_minute_max = tonumber(ARGV[6]), tonumber(ARGV[7])
local per_second_max, burst_max = tonumber(ARGV[9]), tonumber(ARGV[10])
local flight, rate, probe = prefix .. 'flight:' .. account, prefix .. 'rate:' .. account, prefix .. 'probe:' .. account
local pace = prefix .. 'pace:' .. account
local RETRY_MS, PACE_RETRY_MS, WINDOW_SECONDS = 50, 10, 60

-- Once the time of an open circuit is over, one call is let through as a probe. All others wait for its result.
local circuit = redis.call('HGET', prefix .. 'circuits', account)
local until_ms = circuit and number_of(prefix .. 'circuits', string.match(circuit, '^(%d+)') or circuit) or 0
if until_ms > now then
  return {'circuit_open', until_ms - now}
end
local prober = until_ms > 0 and holder_of(probe)
if prober and prober ~= token then
  return {'circuit_open', 4 * RETRY_MS}
end

if in_flight_max > 0 then
  redis.call('ZREMRANGEBYSCORE', flight, '-inf', now)
  if redis.call('ZCARD', flight) >= in_flight_max and not redis.call('ZSCORE', flight, token) then
    return {'in_flight', RETRY_MS}
  end
end

-- Generic cell rate algorithm: `pace` holds the time in ms at which the calls so far would be over if they were spaced
-- evenly. A call may start before that time by the spacing of burst_max - 1 calls.
local paced_at, spacing = nil, nil
if per_second_max > 0 then
  spacing = 1000 / per_second_max
  paced_at = math.max(number_of(pace, redis.call('GET', pace)), now)
  local early = paced_at - (burst_max - 1) * spacing - now
  if early > 0 then
    return {'rate', math.ceil(math.max(early, PACE_RETRY_MS))}
  end
end

-- Count calls by the second of their start. A second counts until all of it is a minute ago, so that no window of 60
-- seconds contains more calls than the limit.
if per_minute_max > 0 then
  local second, taken, oldest = math.floor(now / 1000), 0, nil
  local counts = redis.call('HGETALL', rate)
  for i = 1, #counts, 2 do
    local at, calls = number_of(rate, counts[i]), number_of(rate, counts[i + 1])
    if at < second - WINDOW_SECONDS then
      redis.call('HDEL', rate, counts[i])
    else
      taken = taken + calls
      oldest = math.min(oldest or at, at)
    end
  end
  if taken >= per_minute_max then
    return {'rate', (oldest + WINDOW_SECONDS + 1) * 1000 - now}
  end
  redis.call('HINCRBY', rate, second, 1)
  redis.call('EXPIRE', rate, WINDOW_SECONDS + 2)
end

if paced_at then
  redis.call('SET', pace, string.format('%.3f', paced_at + spacing), 'PX', math.ceil(paced_at + spacing - now) + 1)
end
if in_flight_max > 0 then
  redis.call('ZADD', flight, now + lease_ms, token)
  redis.call('PEXPIRE', flight, lease_ms)
end
if until_ms > 0 then
  redis.call('SET', probe, token, 'PX', ARGV[8])
end
return {'granted'}
