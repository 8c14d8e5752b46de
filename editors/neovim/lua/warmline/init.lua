-- Warmline for Neovim 0.10 and newer: starts the language server and shows its completions.
--
--   require("warmline").setup({ settings = { languages = { python = true } } })
local compat = require("warmline.compat")
local process = require("warmline.process")

local M = {}

local CURSOR_INTERVAL_MS = 60

M.defaults = {
  command = { "warmline", "lsp" },
  settings = {}, -- the server's settings: docs/settings.md
  filetypes = false, -- a list; false: all that the model supports
  native = vim.lsp.inline_completion ~= nil, -- use Neovim's own inline completion (0.12)
  keys = { -- false: no mapping
    accept = "<Tab>",
    accept_word = "<M-Right>",
    accept_line = "<M-Down>",
    dismiss = "<C-]>",
    next = "<M-]>",
    trigger = "<M-\\>",
  },
}

M.options = vim.deepcopy(M.defaults)
M.last_status = nil

--- Starts Warmline for all open files and for files opened later.
function M.setup(options)
  M._check(options)
  M.options = vim.tbl_deep_extend("force", vim.deepcopy(M.defaults), options or {})
  local group = vim.api.nvim_create_augroup("warmline", { clear = true })
  vim.api.nvim_create_autocmd("FileType", {
    group = group,
    callback = function(event)
      M.attach(event.buf)
    end,
  })
  require("warmline.keys").map(M.options.keys)
  if not M.options.native then
    require("warmline.ghost").start(group)
  end
  M._track_cursor(group)
  for _, buffer in ipairs(vim.api.nvim_list_bufs()) do
    if vim.api.nvim_buf_is_loaded(buffer) then
      M.attach(buffer)
    end
  end
end

function M._check(options)
  if options ~= nil and type(options) ~= "table" then
    error("warmline: options: expected a table, got " .. type(options))
  end
  for name in pairs(options or {}) do
    if M.defaults[name] == nil then
      error("warmline: option '" .. name .. "' is unknown")
    end
  end
end

--- Attaches a buffer to the server, which all buffers share; starts the server if necessary.
function M.attach(buffer)
  local filetype = vim.bo[buffer].filetype
  local chosen = M.options.filetypes
  if vim.bo[buffer].buftype ~= "" or filetype == "" then
    return
  end
  if chosen and not vim.tbl_contains(chosen, filetype) then
    return
  end
  local capabilities = vim.lsp.protocol.make_client_capabilities()
  capabilities.textDocument.inlineCompletion = { dynamicRegistration = false }
  -- the server sends only the Warmline notifications that are listed here
  capabilities.experimental = vim.tbl_extend("force", capabilities.experimental or {}, {
    warmline = { status = true, better = not M.options.native },
  })
  process.start_server({
    name = "warmline",
    cmd = M.options.command,
    capabilities = capabilities,
    settings = { warmline = M._settings() },
    init_options = M._settings(),
    root_dir = vim.fs.root(buffer, ".git"),
    handlers = {
      ["warmline/status"] = function(_, status)
        M.last_status = status
        vim.api.nvim_exec_autocmds("User", { pattern = "WarmlineStatus" })
      end,
      ["warmline/better"] = function(_, better)
        if not M.options.native then
          require("warmline.ghost").request_better(better)
        end
      end,
    },
    on_attach = function(client, attached)
      M._add_workspace_folder(client, vim.fs.root(attached, ".git"))
      if M.options.native then
        vim.lsp.inline_completion.enable(true, { bufnr = attached, client_id = client.id })
      end
    end,
  }, {
    bufnr = buffer,
    -- all buffers share one server, even with different roots
    reuse_client = function(client)
      return client.name == "warmline" and not compat.is_stopped(client)
    end,
  })
end

--- Sends the server a buffer's project folder unless it knows the folder.
function M._add_workspace_folder(client, root)
  client.warmline_folders = client.warmline_folders or { [client.root_dir or ""] = true }
  if root and not client.warmline_folders[root] then
    client.warmline_folders[root] = true
    local added = { { uri = vim.uri_from_fname(root), name = vim.fs.basename(root) } }
    compat.notify(client, "workspace/didChangeWorkspaceFolders", {
      event = { added = added, removed = {} },
    })
  end
end

function M.client(buffer)
  return vim.lsp.get_clients({ bufnr = buffer or 0, name = "warmline" })[1]
end

function M.enable()
  M._set_enabled(true)
end

function M.disable()
  M._set_enabled(false)
  require("warmline.ghost").dismiss()
end

function M.toggle()
  M._set_enabled(M.options.settings.enable == false)
end

--- Requests completions now, with alternatives.
function M.trigger()
  require("warmline.ghost").request(1)
end

--- Requests a comment that says what comes next, and the code after it; both are shown as ghost text.
--- In another mode, first enters insert mode at the end of the line.
function M.comment()
  if vim.startswith(vim.fn.mode(), "i") then
    M._request_comment()
    return
  end
  if not vim.bo.modifiable then
    vim.notify("Warmline: this buffer is read-only", vim.log.levels.WARN)
    return
  end
  local group = vim.api.nvim_create_augroup("warmline_comment", { clear = true })
  -- BufLeave cancels the request if insert mode is not entered in this buffer
  vim.api.nvim_create_autocmd({ "InsertEnter", "BufLeave" }, {
    group = group,
    buffer = vim.api.nvim_get_current_buf(),
    callback = function(event)
      vim.api.nvim_clear_autocmds({ group = group })
      if event.event == "InsertEnter" then
        -- the cursor moves after the mode has changed
        vim.schedule(M._request_comment)
      end
    end,
  })
  vim.cmd.startinsert({ bang = true })
end

function M.restart()
  M._request("warmline/restart", function()
    vim.notify("Warmline: the engine is restarting")
  end)
end

function M.statistics()
  M._request("warmline/statistics", function(counts)
    vim.notify(require("warmline.statistics").page(counts))
  end)
end

function M.status()
  local status = M.last_status
  local text = status and vim.trim(status.state .. ". " .. (status.message or "")) or "not started"
  vim.notify("Warmline: " .. text)
end

--- A short text for a status line.
function M.statusline()
  local status = M.last_status
  if not status then
    return ""
  end
  return status.state == "ready" and "warmline" or "warmline " .. status.state
end

-- an empty Lua table would be sent as a JSON array
function M._settings()
  return next(M.options.settings) and M.options.settings or vim.empty_dict()
end

function M._set_enabled(is_enabled)
  M.options.settings.enable = is_enabled
  for _, client in ipairs(vim.lsp.get_clients({ name = "warmline" })) do
    client.settings = { warmline = M._settings() }
    compat.notify(client, "workspace/didChangeConfiguration", { settings = client.settings })
  end
end

function M._request_comment()
  local client = M.client()
  local position = client and vim.lsp.util.make_position_params(0, client.offset_encoding)
  require("warmline.ghost").record_request()
  M._request("warmline/commentFirst", function(text)
    if text == "" then
      vim.notify("Warmline: no comment to suggest here")
    end
  end, position and { uri = position.textDocument.uri, position = position.position })
end

function M._request(method, on_result, params)
  local client = M.client() or vim.lsp.get_clients({ name = "warmline" })[1]
  if not client then
    vim.notify("Warmline: the server is not running; open a file, or run :checkhealth warmline", vim.log.levels.WARN)
    return
  end
  compat.request(client, method, params or vim.empty_dict(), function(problem, answer)
    if problem then
      vim.notify("Warmline: " .. problem.message, vim.log.levels.ERROR)
    else
      on_result(answer)
    end
  end)
end

--- Sends the cursor position, which LSP does not have; the engine prefills there first.
function M._track_cursor(group)
  local is_waiting = false
  vim.api.nvim_create_autocmd({ "CursorMoved", "CursorMovedI", "BufEnter" }, {
    group = group,
    callback = function()
      if is_waiting then
        return
      end
      is_waiting = true
      vim.defer_fn(function()
        is_waiting = false
        local client = M.client()
        if client and client.initialized then
          local params = vim.lsp.util.make_position_params(0, client.offset_encoding)
          compat.notify(client, "warmline/didMoveCursor", params)
        end
      end, CURSOR_INTERVAL_MS)
    end,
  })
end

return M
