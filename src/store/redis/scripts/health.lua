-- How receivers are.
--
-- KEYS  1 health, then for each receiver its logs of what is pending and of what is dead
-- ARGV  the receivers
-- Answers the time in ms, then for each receiver when it last took something, since when it has been failing (both '' for
-- never), how many messages could not be queued, how many are pending, how many are dead.
local time = redis.call('TIME')
local found = { string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)) }
for n, endpoint in ipairs(ARGV) do
  local noted = attempt('HMGET', KEYS[1], endpoint .. ':ok', endpoint .. ':bad', endpoint .. ':lost') or {}
  for _, value in ipairs({ noted[1] or '', noted[2] or '', noted[3] or '0' }) do
    found[#found + 1] = value
  end
  found[#found + 1] = tostring(attempt('ZCARD', KEYS[2 * n]) or 0)
  found[#found + 1] = tostring(attempt('ZCARD', KEYS[2 * n + 1]) or 0)
end
return found
