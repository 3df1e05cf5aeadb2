-- Appended to the function `run` of a script, in a call for several shards of one server: not in a cluster, where their
-- keys have several slots. KEYS: the prefix of each shard. ARGV: per shard its number of arguments, then the arguments.
-- Returns per shard the reply of the script, or false: it failed, or the shard has not the installation record. A failed
-- shard does not affect the others, since each has its own keys. The caller repeats its call alone and gets the error.
local all, replies, records, at = ARGV, {}, {}, 1
for i = 1, #KEYS do
  records[i] = KEYS[i] .. 'install'
end
records = redis.call('MGET', unpack(records))
for i = 1, #KEYS do
  local count, arguments = tonumber(all[at]), {}
  for j = 1, count do
    arguments[j] = all[at + j]
  end
  at = at + count + 1
  use_shard(arguments)
  replies[i] = false
  if expected == '' or records[i] == expected then
    local is_done, reply = pcall(run)
    replies[i] = is_done and not (type(reply) == 'table' and reply.err) and reply
  end
end
return replies
