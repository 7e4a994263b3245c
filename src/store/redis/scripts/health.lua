-- Returns the health of endpoints.
--
-- KEYS  1 health, then for each endpoint its logs of pending and of dead deliveries
-- ARGV  the endpoints
-- Returns the time in ms, then for each endpoint the time of its last success, the start of its failures (both '' for
-- none), and the numbers of lost, pending and dead deliveries.
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
