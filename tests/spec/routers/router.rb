# Reads the routes, then one request a line, and writes which of the routes each router takes it to: one line of JSON.
require 'cgi'
require 'json'
require 'rack'
require 'webrick'

def means(pattern, path)
  wanted = pattern.split('/', -1)
  given = path.split('/', -1)
  if wanted.last == '**'
    return false if given.size < wanted.size

    wanted = wanted[0..-2]
    given = given.first(wanted.size)
  end
  wanted.size == given.size && wanted.zip(given).all? { |name, text| name.start_with?('{') ? !text.empty? : name == text }
end

def takes(route, method)
  ['*', method].include?(route['method']) || (route['method'] == 'GET' && method == 'HEAD')
end

def path_of(target)
  target.split('?', 2).first
end

# What Sinatra makes of a pattern: decoded, and with a slash at the end or without.
def expression(pattern)
  parts = pattern.split('/', -1).map do |part|
    next '[^/]+' if part.start_with?('{')

    part == '**' ? '.*' : Regexp.escape(part)
  end
  %r{\A#{parts.join('/')}/?\z}i
end

ROUTES = JSON.parse($stdin.gets)
EXPRESSIONS = ROUTES.to_h { |route| [route['name'], expression(route['path'])] }
MAPPED = ROUTES.reject { |route| route['path'].include?('{') }
MAP = Rack::URLMap.new(MAPPED.to_h do |route|
  app = ->(env) { [200, {}, [route['name'], env['PATH_INFO']]] }
  [route['path'].delete_suffix('/**'), app]
end)

def by
  lambda do |method, target|
    path = yield(target)
    ROUTES.select { |route| takes(route, method) && means(route['path'], path) }.map { |route| route['name'] }
  end
end

def utf8(text)
  text.dup.force_encoding('UTF-8').scrub
end

READERS = {
  'Rack unescape_path' => by { |target| utf8(Rack::Utils.unescape_path(path_of(target))) },
  'Rack unescape' => by { |target| utf8(Rack::Utils.unescape(path_of(target))) },
  'Rack clean_path_info' => by { |target| utf8(Rack::Utils.clean_path_info(Rack::Utils.unescape_path(path_of(target)))) },
  'CGI unescape' => by { |target| utf8(CGI.unescape(path_of(target))) },
  'WEBrick' => by { |target| utf8(WEBrick::HTTPUtils.normalize_path(WEBrick::HTTPUtils.unescape(path_of(target)))) },
  'Rack URLMap' => lambda do |method, target|
    env = { 'PATH_INFO' => Rack::Utils.unescape_path(path_of(target)), 'SCRIPT_NAME' => '', 'SERVER_NAME' => 'host', 'SERVER_PORT' => '80' }
    status, _, (name, rest) = MAP.call(env)
    route = MAPPED.find { |one| status == 200 && one['name'] == name }
    whole = route && (route['path'].end_with?('/**') || rest.delete('/').empty?)
    whole && takes(route, method) ? [name] : []
  end,
  'Sinatra' => lambda do |method, target|
    path = utf8(Rack::Utils.unescape_path(path_of(target)))
    ROUTES.select { |route| takes(route, method) && EXPRESSIONS[route['name']].match?(path) }.map { |route| route['name'] }
  end
}.freeze

$stdout.puts JSON.generate(READERS.keys)
$stdin.each_line do |line|
  method, target = JSON.parse(line)
  answers = READERS.values.map do |reader|
    reader.call(method, target)
  rescue ArgumentError, EncodingError, RuntimeError
    nil
  end
  $stdout.puts JSON.generate(answers)
end
