-- Returns the bytes of each app in a node's slot.
--
-- KEYS  1 live, 2 ended, 3 outbox, 4 deliveries
-- Returns, flat, names and bytes: {of apps, of endpoints}. An app can occur more than once.
--
-- Expired entries leave the hash of ended views and entities.
local now = tonumber(redis.call('TIME')[1])
local apps = {}
local function add(app, bytes)
  apps[#apps + 1] = app
  apps[#apps + 1] = bytes
end

local live = attempt('HGETALL', KEYS[1]) or {}
for n = 1, #live, 2 do
  if string.sub(live[n], 1, 1) ~= '#' then
    add(live[n], live[n + 1])
  end
end
local ended = attempt('HGETALL', KEYS[2]) or {}
local sums = {}
for n = 1, #ended, 2 do
  local second, app = string.match(ended[n], '^(%d+):(.*)$')
  if not second or tonumber(second) <= now then
    redis.call('HDEL', KEYS[2], ended[n])
  else
    sums[app] = (sums[app] or 0) + (tonumber(ended[n + 1]) or 0)
  end
end
for app, bytes in pairs(sums) do
  add(app, string.format('%.0f', bytes))
end
local outbox = attempt('HGETALL', KEYS[3]) or {}
for n = 1, #outbox, 2 do
  add(outbox[n], outbox[n + 1])
end
return { apps, attempt('HGETALL', KEYS[4]) or {} }
