#!lua flags=allow-oom
-- Extend leases. ARGV: prefix, queue, lease_ms, then per job: job, token. Gives the jobs whose lease is in other hands.
local lost = {}
for i = 4, #ARGV, 2 do
  local job = ARGV[i]
  if redis.call('GET', lock_of(job)) == ARGV[i + 1] then
    redis.call('PEXPIRE', lock_of(job), ARGV[3])
    redis.call('ZADD', queue, 'XX', now + tonumber(ARGV[3]), job)
  else
    lost[#lost + 1] = job
  end
end
return lost
