-- Reads a part of a list of views.
--
-- KEYS  1 list, 2 ended views
-- ARGV  1 start, a BYLEX bound, 2 number of wanted views, 3 number of views to visit,
--       4 prefix of the keys of bodies, before the view's id; '' if there are no bodies, then
--       5 prefix of the note of an ended view, before the position, 6 '1' if the list is in pieces
-- Returns {position after which to continue ('' at the end of the list), {position, ...}}.
--
-- An expired view may still be in its lists: it is removed from this one. The keys of bodies depend on the list, so they
-- cannot be among KEYS; they are in the same slot.
local wanted = tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function is_over(position)
  if ARGV[4] ~= '' then
    -- Eight digits are the time. Invalid positions are returned, and the reader reports them.
    return #position == 30 and redis.call('EXISTS', ARGV[4] .. string.sub(position, 9)) == 0
  end
  local kept_until = attempt('ZSCORE', KEYS[2], ARGV[5] .. position)
  return kept_until and tonumber(kept_until) < now
end

local in_pieces = ARGV[6] == '1'
local visited
if in_pieces then
  visited = rope_range(KEYS[1], ARGV[1], tonumber(ARGV[3]))
else
  visited = attempt('ZRANGE', KEYS[1], ARGV[1], '+', 'BYLEX', 'LIMIT', 0, ARGV[3]) or {}
end
local found = {}
for _, position in ipairs(visited) do
  if is_over(position) then
    if in_pieces then
      rope_remove(KEYS[1], position)
    else
      redis.call('ZREM', KEYS[1], position)
    end
  else
    found[#found + 1] = position
    if #found == wanted then
      return { position, found }
    end
  end
end
return { #visited == tonumber(ARGV[3]) and visited[#visited] or '', found }
