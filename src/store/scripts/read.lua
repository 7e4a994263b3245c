-- Hashes as they are at one moment, packed: Redis answers few large values faster than many small ones, and they are read
-- faster.
--
-- KEYS  the hashes
local found = {}
for n, key in ipairs(KEYS) do
  local hash = redis.pcall('HGETALL', key)
  if hash.err then
    return redis.error_reply(hash.err)
  end
  found[n] = hash
end
return cmsgpack.pack(found)
