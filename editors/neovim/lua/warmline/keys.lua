-- Keys in insert mode. A key whose action has nothing to do keeps its own meaning.
local M = {}

local function native_accept()
  return vim.lsp.inline_completion.get()
end

local function actions()
  local warmline, ghost = require("warmline"), require("warmline.ghost")
  local native = require("warmline.native")
  local is_native = warmline.options.native
  return {
    accept = is_native and native_accept or function()
      return ghost.accept("all")
    end,
    accept_word = function()
      return (is_native and native or ghost).accept("word")
    end,
    accept_line = function()
      return (is_native and native or ghost).accept("line")
    end,
    dismiss = not is_native and function()
      local was_shown = ghost.is_shown()
      ghost.dismiss()
      return was_shown
    end or nil,
    next = is_native and function()
      vim.lsp.inline_completion.select()
      return true
    end or function()
      ghost.next()
      return true
    end,
    trigger = not is_native and function()
      ghost.request(1)
      return true
    end or nil,
  }
end

function M.map(keys)
  for name, action in pairs(actions()) do
    local key = keys[name]
    if key then
      M._map(key, name, action)
    end
  end
end

function M._map(key, name, action)
  local is_native = require("warmline").options.native
  vim.keymap.set("i", key, function()
    local ghost = require("warmline.ghost")
    local needs_text = name:match("^accept") or name == "dismiss"
    if needs_text and not is_native then
      if not ghost.is_shown() then
        return key
      end
      -- text may not change while a key is looked up
      vim.schedule(action)
      return ""
    end
    return action() and "" or key
  end, { expr = true, replace_keycodes = true, desc = "Warmline: " .. name })
end

return M
