-- Formats the answer of `warmline/statistics`.
local M = {}

local function share(value)
  return value and ("%.0f %%"):format(100 * value) or "not yet known"
end

local function latency(counts)
  if not counts.p50Ms then
    return "No answers yet."
  end
  return ("Response time: median %.0f ms, 95th percentile %.0f ms."):format(counts.p50Ms, counts.p95Ms)
end

--- The counts as a text for the user.
function M.page(counts)
  return table.concat({
    "Warmline, since its server started. These numbers never leave this machine.",
    -- not `shown`, which is 0: the plugin does not report what it shows
    "Offered: " .. counts.offered,
    "Accepted in full: " .. counts.accepted,
    "Accepted in part: " .. counts.partlyAccepted,
    "Acceptance rate: " .. share(counts.acceptedShare),
    "Share of new characters that came from completions: " .. share(counts.completedShare),
    "Share of accepted characters kept for 30 seconds: " .. share(counts.keptShare),
    latency(counts),
  }, "\n")
end

return M
