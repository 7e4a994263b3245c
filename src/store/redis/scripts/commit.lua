-- One atomic step of a node: checks everything, then changes everything.
--
-- KEYS  1 lease, 2 lists of live entities, 3 deadlines, 4 outbox, 5 ended views, 6 cursor of the outbox, 7 health,
--       then for each entity its hash and the hash of its parts
-- ARGV  1 request, 2 epoch ('' for no lease), 3 owner, 4 number of entities, 5 number of messages,
--       6 length of the remembered requests, 7 number of views, 8 prefix of the keys of lists of views,
--       9 number of expired views to remove from the lists in addition to the number of views that end here,
--       10 limit of messages behind the cursor of the outbox; then for each entity
--         id, expected version, deadline ('' for none), keeping time in ms ('' while it lives),
--         prefix of its list's key, before the app, app ('' if not given), position there,
--         number of head fields, of parts to set, of parts to remove, then these, flat;
--       then for each message its id, app, scope, sequence, event, body;
--       then for each view the key of its body ('' for none), the body, keeping time in ms ('' while it lives),
--         name of the app's list, name of the room's list ('' for none), position in both, its note
-- Returns {outcome, position}. The outcome is 0 if the commit is applied (now or by an earlier transmission), -1 if another
-- replica has the lease, n if the n-th entity is at another version, -1 - n if the commit is applied except n messages that
-- did not fit. The position is that of the last message in the outbox, 0 if none was appended now.
--
-- An entity stores the first 8 characters of its position (the rest is its id) and the app of its list in `#l`.
-- Entities without an app are in no list that is shown.
--
-- The keys of lists follow from that, and those of the lists of ended views from their notes: they are in the same slot.
-- The lists of an app are in pieces.
--
-- A key of another type (`foreign.lua`) affects only itself. An entity of another type is a conflict, and its next read
-- reports it. A lease of another type is not this one. Indexes and counters of another type are noted and skipped.
--
-- Bytes are counted by app (`bytes.lua`). `#b` of an entity is the sum of its values of 256 bytes and more, in its head and
-- its parts; the fixed size of an entity covers the others.

-- Lua's stack can hold some 8,000 values at once.
local CHUNK = 2000

local function each_chunk(command, key, from, to)
  for i = from, to, CHUNK do
    redis.call(command, key, unpack(ARGV, i, math.min(i + CHUNK - 1, to)))
  end
end

local request = ARGV[1]
local entities = tonumber(ARGV[4])

local stored = {}
for n = 1, entities do
  local found = attempt('HMGET', KEYS[6 + 2 * n], '#v', '#q', '#e', '#l', '#b') or { 'unreadable' }
  if found[2] and string.find(found[2], request, 1, true) then
    return { 0, 0 }
  end
  stored[n] = found
end

if ARGV[2] ~= '' then
  local lease = attempt('HMGET', KEYS[1], 'epoch', 'owner') or {}
  if lease[1] ~= ARGV[2] or lease[2] ~= ARGV[3] then
    return { -1, 0 }
  end
end

local at = 11
local starts = {}
for n = 1, entities do
  if (stored[n][1] or '0') ~= ARGV[at + 1] then
    return { n, 0 }
  end
  if tonumber(ARGV[at + 8]) + tonumber(ARGV[at + 9]) > 0 and not attempt('HLEN', KEYS[7 + 2 * n]) then
    return { n, 0 }
  end
  starts[n] = at
  at = at + 10 + 2 * tonumber(ARGV[at + 7]) + 2 * tonumber(ARGV[at + 8]) + tonumber(ARGV[at + 9])
end

for n = 1, entities do
  local i = starts[n]
  local head, parts = KEYS[6 + 2 * n], KEYS[7 + 2 * n]
  local id, deadline, keep = ARGV[i], ARGV[i + 2], ARGV[i + 3]
  local lists, app, position = ARGV[i + 4], ARGV[i + 5], ARGV[i + 6]
  local old = stored[n]

  local requests = string.sub(request .. (old[2] or ''), 1, tonumber(ARGV[6]))
  local version = string.format('%.0f', ARGV[i + 1] + 1)

  local fields = i + 10
  local set = fields + 2 * tonumber(ARGV[i + 7])
  local removed = set + 2 * tonumber(ARGV[i + 8])
  local past = removed + tonumber(ARGV[i + 9])
  local large_before = tonumber(old[5] or '0') or 0
  local large = large_before + large_in(head, fields, set - 1, large_before) + large_in(parts, set, removed - 1, large_before)
    - large_of(parts, removed, past - 1, large_before)
  if large ~= large_before then
    redis.call('HSET', head, '#b', string.format('%.0f', large))
  end
  -- A head has few fields.
  redis.call('HSET', head, '#v', version, '#q', requests, unpack(ARGV, fields, set - 1))
  each_chunk('HSET', parts, set, removed - 1)
  each_chunk('HDEL', parts, removed, past - 1)

  local noted = old[4] or ''
  local was_listed = #noted > 8
  local is_new = not old[1] or (app ~= '' and not was_listed)
  if is_new then
    if old[1] and rope_remove(lists, string.sub(noted, 1, 8) .. string.sub(position, 9)) then
      attempt('SREM', KEYS[2], lists)
    end
    redis.call('HSET', head, '#l', string.sub(position, 1, 8) .. app)
  else
    app = string.sub(noted, 9)
    position = string.sub(noted, 1, 8) .. string.sub(position, 9)
  end
  local list = lists .. app
  local counted = old[1] and was_listed and not old[3] and ENTITY_BYTES + large_before or 0
  if app ~= '' then
    count_live(app, (keep == '' and ENTITY_BYTES + large or 0) - counted)
    if keep ~= '' and not old[3] then
      count_ended(app, tonumber(keep), ENTITY_BYTES + large)
    end
  end

  if keep == '' then
    if is_new or old[3] then
      rope_add(list, position)
      attempt('SADD', KEYS[2], list)
    end
    if old[3] then
      redis.call('HDEL', head, '#e')
      redis.call('PERSIST', head)
      redis.call('PERSIST', parts)
    end
    if deadline == '' then
      replace('ZREM', KEYS[3], id)
    else
      replace('ZADD', KEYS[3], deadline, id)
    end
  else
    replace('ZREM', KEYS[3], id)
    if rope_remove(list, position) then
      attempt('SREM', KEYS[2], list)
    end
    redis.call('HSET', head, '#e', '1')
    redis.call('PEXPIRE', head, keep)
    redis.call('PEXPIRE', parts, keep)
  end
end

local messages = tonumber(ARGV[5])
local free, last, newest = messages, nil, nil
if messages > 0 then
  local cursor = cursor_at(KEYS[6])
  last = last_position(KEYS[4], cursor)
  free = math.max(tonumber(ARGV[10]) - math.max(last - (cursor or 0), 0), 0)
end
local lost = math.max(messages - free, 0)
if lost > 0 then
  attempt('HINCRBY', KEYS[7], 'lost', lost)
end
for n = 1, messages do
  if n <= free then
    local total = count_message(ARGV[at + 1], #ARGV[at + 5])
    newest = append_to_outbox(KEYS[4], KEYS[7], (newest or last) + 1, { 'id', ARGV[at], 'app', ARGV[at + 1],
      'scope', ARGV[at + 2], 'sequence', ARGV[at + 3], 'event', ARGV[at + 4], 'body', ARGV[at + 5], 't', total })
  end
  at = at + 6
end
if newest then
  redis.call('SET', KEYS[4] .. ':last', string.format('%.0f', newest))
end

local done = { lost > 0 and -1 - lost or 0, newest or 0 }
local views = tonumber(ARGV[7])
if views == 0 then
  count_all()
  return done
end
local prefix = ARGV[8]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local over = 0
for _ = 1, views do
  local key, body, keep = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local of_app, of_room, position, note = ARGV[at + 3], ARGV[at + 4], ARGV[at + 5], ARGV[at + 6]
  rope_add(prefix .. of_app, position)
  if of_room ~= '' then
    attempt('ZADD', prefix .. of_room, 0, position)
  end
  if keep == '' then
    if key ~= '' then
      redis.call('SET', key, body)
    end
    replace('ZREM', KEYS[5], note)
  else
    if key ~= '' then
      redis.call('SET', key, body, 'PX', keep)
      count_ended(string.match(of_app, ':app:(.*)$'), tonumber(keep), VIEW_BYTES + #body)
    end
    replace('ZADD', KEYS[5], string.format('%.0f', now + keep), note)
    over = over + 1
  end
  at = at + 7
end

-- More than end now, so that a backlog shrinks with every commit that ends some.
if over > 0 then
  local most = string.format('%.0f', over + ARGV[9])
  local gone = redis.call('ZRANGE', KEYS[5], '-inf', '(' .. string.format('%.0f', now), 'BYSCORE', 'LIMIT', 0, most)
  for _, note in ipairs(gone) do
    local of_app, of_room, position = string.match(note, '^([^|]*)|([^|]*)|(.*)$')
    if position then
      rope_remove(prefix .. of_app, position)
      if of_room ~= '' then
        attempt('ZREM', prefix .. of_room, position)
      end
    end
  end
  if #gone > 0 then
    redis.call('ZREMRANGEBYRANK', KEYS[5], 0, #gone - 1)
  end
end
count_all()
return done
