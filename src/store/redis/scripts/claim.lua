-- Claims the heads of due queues: the apps take turns, and within an app its endpoints, so that each has its share of the
-- permits (see `store::deliveries::Share`).
--
-- KEYS  1 due, 2 claims, 3 failed
-- ARGV  1 prefix of the node's keys, 2 visibility in ms, 3 token, 4 limit of claims, 5 number of free permits,
--       6 limit of permits of an endpoint, 7 number of further permits for all lowered endpoints,
--       8 limit of endpoints to visit, 9 ms by which endpoints with their share are put off if there are more,
--       10 divisor of an app's share of the free permits, 11 number of endpoints that have permits; then for each
--       of them its app, its id and the number; then for each lowered endpoint its id and its limit of permits
-- Returns, flat, for each claim the name of the queue, the failures of its head, their duration in ms, the message.
--
-- The keys of queues and deliveries depend on what is due, so they cannot be among KEYS; they are in the same slot.
local prefix = ARGV[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local at = string.format('%.0f', now)
local again = string.format('%.0f', now + ARGV[2])
local most, free, each, slow = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local look_at, part = tonumber(ARGV[8]), tonumber(ARGV[10])

-- Earlier versions had this key instead of the first one.
local ready = prefix .. 'ready'
for _, queue in ipairs(attempt('ZRANGE', ready, 0, look_at - 1) or {}) do
  local endpoint = string.match(queue, '^[^:]*')
  local head = attempt('LINDEX', prefix .. 'queue:' .. queue, 0)
  local app = head and app_of(attempt('HGET', prefix .. 'delivery:' .. endpoint .. ':' .. head, 'm'))
  if app then
    set_due_if_new(KEYS[1], app, endpoint, queue, redis.call('ZSCORE', ready, queue))
  end
  redis.call('ZREM', ready, queue)
end

local by_app, by_endpoint, lowered = {}, {}, {}
local n = 12
for _ = 1, tonumber(ARGV[11]) do
  by_app[ARGV[n]] = (by_app[ARGV[n]] or 0) + ARGV[n + 2]
  by_endpoint[ARGV[n + 1]] = tonumber(ARGV[n + 2])
  n = n + 3
end
for i = n, #ARGV, 2 do
  lowered[ARGV[i]] = tonumber(ARGV[i + 1])
end

local found = on_due(KEYS[1], 'ZRANGE', '-inf', at, 'BYSCORE', 'LIMIT', 0, look_at)
local apps, waiting = {}, {}
for _, member in ipairs(found) do
  local app, endpoint = string.match(member, '^([^:]*):(.*)$')
  if not app then
    note_foreign(KEYS[1], 'a member was no endpoint and was removed')
    redis.call('ZREM', KEYS[1], member)
  else
    if not waiting[app] then
      waiting[app] = {}
      apps[#apps + 1] = app
    end
    table.insert(waiting[app], { id = endpoint, nth = #waiting[app], next = 1 })
  end
end
local function has_fewer(a, b)
  local x, y = by_endpoint[a.id] or 0, by_endpoint[b.id] or 0
  return x < y or (x == y and a.nth < b.nth)
end
for _, app in ipairs(apps) do
  table.sort(waiting[app], has_fewer)
end

local claimed, touched, passed = {}, {}, {}

-- Returns the next due queue of an endpoint that has a message, with the message; nothing if there is none.
local function next_of(app, endpoint)
  if not endpoint.queues then
    endpoint.queues = on_queues(KEYS[1], endpoint.id, 'ZRANGE', '-inf', at, 'BYSCORE', 'LIMIT', 0, most)
    touched[#touched + 1] = { app, endpoint.id }
  end
  local deliveries = prefix .. 'delivery:' .. endpoint.id .. ':'
  while endpoint.queues[endpoint.next] do
    local queue = endpoint.queues[endpoint.next]
    endpoint.next = endpoint.next + 1
    local list = prefix .. 'queue:' .. queue
    local head, message
    repeat
      head = attempt('LINDEX', list, 0)
      message = head and attempt('HGET', deliveries .. head, 'm')
      if head and not message then
        -- The delivery was deleted or overwritten by hand.
        redis.call('LPOP', list)
        replace('HDEL', KEYS[3], queue)
      end
    until message or not head
    if head then
      return queue, message
    end
    -- Its head was parked and no message came behind it, or the list was deleted by hand.
    redis.call('ZREM', KEYS[1] .. ':' .. endpoint.id, queue)
  end
end

-- Claims a delivery for an app; returns false if there is none within its share.
local function claim_for(app)
  local endpoints = waiting[app]
  local left = math.max(math.floor(free / part), 1) - (by_app[app] or 0)
  while left > 0 and endpoints[1] do
    local endpoint = table.remove(endpoints, 1)
    local has, bound = by_endpoint[endpoint.id] or 0, lowered[endpoint.id]
    if has >= math.min(bound or each, left) or (bound and slow <= 0) then
      passed[#passed + 1] = { app, endpoint.id }
    else
      local queue, message = next_of(app, endpoint)
      if queue then
        redis.call('ZADD', KEYS[1] .. ':' .. endpoint.id, again, queue)
        replace('HSET', KEYS[2], queue, ARGV[3])
        local times, since = string.match(replace('HGET', KEYS[3], queue) or '0 ', '^(%d+) (%d*)$')
        claimed[#claimed + 1] = queue
        claimed[#claimed + 1] = times or '?'
        claimed[#claimed + 1] = string.format('%.0f', math.max(now - (tonumber(since) or now), 0))
        claimed[#claimed + 1] = message
        by_app[app] = (by_app[app] or 0) + 1
        by_endpoint[endpoint.id] = has + 1
        free = free - 1
        if bound then
          slow = slow - 1
        end
        endpoints[#endpoints + 1] = endpoint
        return true
      end
    end
  end
  for _, endpoint in ipairs(endpoints) do
    passed[#passed + 1] = { app, endpoint.id }
  end
  return false
end

-- Apps with the fewest permits come first; among them the one that has been due for longest.
while #apps > 0 and #claimed < 4 * most do
  local fewest = math.huge
  for _, app in ipairs(apps) do
    fewest = math.min(fewest, by_app[app] or 0)
  end
  local rest = {}
  for _, app in ipairs(apps) do
    if (by_app[app] or 0) > fewest or #claimed >= 4 * most or claim_for(app) then
      rest[#rest + 1] = app
    end
  end
  apps = rest
end

for _, of in ipairs(touched) do
  refresh_due(KEYS[1], of[1], of[2])
end
if #found >= look_at and #claimed < 4 * most then
  local later = string.format('%.0f', now + ARGV[9])
  for _, of in ipairs(passed) do
    redis.call('ZADD', KEYS[1], 'XX', later, of[1] .. ':' .. of[2])
  end
end
return claimed
