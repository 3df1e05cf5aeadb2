-- Appended to the function `run` of a script, in a call for several shards of one server: not in a cluster, where their
-- keys have several slots. KEYS: the prefix of each shard. ARGV: per shard its number of arguments, then the arguments
-- behind prefix and queue.
-- Returns per shard the reply of the script, or false: it failed, or the shard has not the installation record. A failed
-- shard does not affect the others, since each has its own keys. The caller repeats its call alone and gets the error.
local all, replies, records, at = ARGV, {}, {}, 1
for i = 1, #KEYS do
  records[i] = KEYS[i] .. 'install'
end
records = redis.call('MGET', unpack(records))

-- `unpack` is faster than a loop, but its results have to be on the stack of Lua.
local UNPACKED_MAX = 4000
local function arguments_of(key, first, last)
  if last - first < UNPACKED_MAX then
    return {key, key .. 'queue', unpack(all, first, last)}
  end
  local arguments = {key, key .. 'queue'}
  for i = first, last do
    arguments[#arguments + 1] = all[i]
  end
  return arguments
end

for i = 1, #KEYS do
  local last = at + all[at]
  use_shard(arguments_of(KEYS[i], at + 1, last))
  at = last + 1
  replies[i] = false
  if expected == '' or records[i] == expected then
    local is_done, reply = pcall(run)
    replies[i] = is_done and not (type(reply) == 'table' and reply.err) and reply
  end
end
return replies
