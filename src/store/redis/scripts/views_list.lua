-- Looks at a part of a list of views.
--
-- KEYS  1 list, 2 views that are over
-- ARGV  1 where to begin, as BYLEX takes it, 2 how many are wanted, 3 how many to look at,
--       4 what stands before a view's id in the key of its body; '' when there are no bodies, then
--       5 what stands before a position in the note of a view that is over, 6 '1' when the list is one in pieces
-- Answers {where to go on after ('' at the end of the list), {position, ...}}.
--
-- A view whose keeping time is over may still be in its lists: it is taken off this one, for those that list next.
-- The bodies' keys follow from what is listed, so they cannot be among KEYS; they are in the same slot.
local wanted = tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function is_over(position)
  if ARGV[4] ~= '' then
    -- Eight digits say since when; what is not a position is for the reader to refuse.
    return #position == 30 and redis.call('EXISTS', ARGV[4] .. string.sub(position, 9)) == 0
  end
  local kept_until = attempt('ZSCORE', KEYS[2], ARGV[5] .. position)
  return kept_until and tonumber(kept_until) < now
end

local in_pieces = ARGV[6] == '1'
local looked_at
if in_pieces then
  looked_at = rope_range(KEYS[1], ARGV[1], tonumber(ARGV[3]))
else
  looked_at = attempt('ZRANGE', KEYS[1], ARGV[1], '+', 'BYLEX', 'LIMIT', 0, ARGV[3]) or {}
end
local found = {}
for _, position in ipairs(looked_at) do
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
return { #looked_at == tonumber(ARGV[3]) and looked_at[#looked_at] or '', found }
