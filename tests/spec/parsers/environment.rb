# Answers every request with the variables that Rack makes of it. Says its port on the first line.
require 'json'
require 'rack'
require 'rack/handler/webrick'

application = lambda do |environment|
  texts = environment.select { |_, value| value.is_a?(String) }
  [200, { 'Content-Type' => 'application/json' }, [JSON.generate(texts.transform_values(&:scrub))]]
end
options = { Host: '127.0.0.1', Port: 0, AccessLog: [], Logger: WEBrick::Log.new(File::NULL) }
Rack::Handler::WEBrick.run(application, **options) do |server|
  $stdout.puts server.listeners.first.addr[1]
  $stdout.flush
end
