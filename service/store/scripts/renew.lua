#!lua flags=allow-oom
-- Extend leases. ARGV: prefix, queue, lease_ms, then per job: job, token. Returns the jobs whose lease was lost.
local lost = {}
for i = 4, #ARGV, 2 do
  local job = ARGV[i]
  if text(lease_key(job)) == ARGV[i + 1] then
    redis.call('PEXPIRE', lease_key(job), ARGV[3])
    redis.call('ZADD', queue, 'XX', now + tonumber(ARGV[3]), job)
  else
    lost[#lost + 1] = job
  end
end
return lost
