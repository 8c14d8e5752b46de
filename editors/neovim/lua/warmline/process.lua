-- Starts programs; no other module does. Each gets an absolute path, a working directory outside of the project and an
-- environment in which neither Python nor the system searches the current folder.
local M = {}

local IS_WINDOWS = vim.fn.has("win32") == 1
local SEPARATOR = IS_WINDOWS and ";" or ":"
-- search paths of programs, modules and libraries
local PATH_LISTS = {
  "PATH",
  "PYTHONPATH",
  "LD_LIBRARY_PATH",
  "DYLD_LIBRARY_PATH",
  "DYLD_FRAMEWORK_PATH",
  "DYLD_FALLBACK_LIBRARY_PATH",
  "DYLD_FALLBACK_FRAMEWORK_PATH",
}
local FOLDERS = { "PYTHONHOME", "PYTHONUSERBASE", "PYTHONPYCACHEPREFIX", "PYTHONSTARTUP" }

--- Starts the language server with the arguments of vim.lsp.start; nil if its program is not found.
function M.start_server(config, options)
  local command, problem = M.resolve(config.cmd)
  if not command then
    vim.notify_once("Warmline: " .. problem, vim.log.levels.ERROR)
    return nil
  end
  local process = { cmd = command, cmd_cwd = M.neutral_folder(), cmd_env = M.environment({ config.root_dir }) }
  return vim.lsp.start(vim.tbl_extend("force", config, process), options)
end

--- Runs a program and waits for its end.
function M.run(command, timeout_ms)
  local options = { text = true, cwd = M.neutral_folder(), env = M.environment({}) }
  return vim.system(command, options):wait(timeout_ms)
end

--- The command with its program's absolute path; or nil and the problem.
function M.resolve(command)
  local name = command[1] or ""
  local program = name:gsub("^~([/\\])", function(separator)
    return vim.uv.os_homedir() .. separator
  end)
  if not M.is_absolute(program) then
    if name == "" or name:find("[/\\:]") or vim.startswith(name, "~") then
      return nil, "command: " .. name .. " is a relative path; use an absolute path or one that starts with ~"
    end
    program = M._on_path(name)
    if not program then
      return nil, "the command " .. name .. " was not found"
    end
  end
  return vim.list_extend({ program }, command, 2)
end

--- Environment variables to change for each program that Warmline starts. No module in these folders or in the
--- current one can replace one of Python's.
function M.environment(folders)
  local excluded = vim.list_extend({ vim.uv.cwd() }, folders)
  local result = { PYTHONSAFEPATH = "1", NoDefaultCurrentDirectoryInExePath = "1" }
  for _, name in ipairs(PATH_LISTS) do
    local value = vim.env[name]
    if value then
      result[name] = M._safe(value, name == "PYTHONPATH" and excluded or {})
    end
  end
  if (result.PATH or "") == "" then
    result.PATH = IS_WINDOWS and M.neutral_folder() .. "\\System32" or "/bin:/usr/bin"
  end
  for _, name in ipairs(FOLDERS) do
    -- Python ignores an empty value
    if vim.env[name] and not M.is_absolute(vim.env[name]) then
      result[name] = ""
    end
  end
  return result
end

--- A folder that always exists and that only administrators may write to.
function M.neutral_folder()
  return IS_WINDOWS and (vim.env.SystemRoot or "C:\\Windows") or "/"
end

--- Whether a path does not depend on the current folder or drive.
function M.is_absolute(path)
  if IS_WINDOWS then
    return path:find("^%a:[/\\]") ~= nil or path:find("^[/\\][/\\][^/\\]") ~= nil
  end
  return vim.startswith(path, "/")
end

function M._on_path(name)
  local endings = IS_WINDOWS and not name:find("%.%w+$") and { ".exe", ".com" } or { "" }
  for _, folder in ipairs(vim.split(M.environment({}).PATH, SEPARATOR, { plain = true })) do
    for _, ending in ipairs(endings) do
      local program = folder:gsub('"', ""):gsub("[/\\]$", "") .. "/" .. name .. ending
      -- an absolute path, so executable() does not search the PATH
      if vim.fn.executable(program) == 1 then
        return program
      end
    end
  end
  return nil
end

function M._safe(value, excluded)
  local kept = vim.tbl_filter(function(entry)
    local folder = entry:gsub('"', "")
    return M.is_absolute(folder) and not M._is_inside(folder, excluded)
  end, vim.split(value, SEPARATOR, { plain = true }))
  return table.concat(kept, SEPARATOR)
end

function M._is_inside(path, folders)
  for _, folder in ipairs(folders) do
    local root = M._real(folder):gsub("/$", "") .. "/"
    if vim.startswith(M._real(path) .. "/", root) then
      return true
    end
  end
  return false
end

function M._real(path)
  return vim.fs.normalize(vim.uv.fs_realpath(path) or path)
end

return M
