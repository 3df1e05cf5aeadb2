-- Appended to `shared.lua` in a call for one shard. In the same call as the writes: nothing is written to a store that was
-- emptied or replaced a moment ago.
use_shard(ARGV)
if expected ~= '' and read('GET', install) ~= expected then
  return redis.error_reply('LOST the store has not the installation record ' .. expected)
end
