# Reads one input in hex from each line, and writes what Ruby's parsers take for the value of NAME in it: one line of JSON,
# for each reader null or the list of values in hex.  ruby reader.rb query|body|fields NAME
require 'json'
require 'rack'
require 'stringio'
require 'webrick'

kind, NAME = ARGV

# The strings in a value, however deep.
def leaves(value)
  case value
  when nil then []
  when Hash then value.values.flat_map { |inner| leaves(inner) }
  when Array then value.flat_map { |inner| leaves(inner) }
  else [value.to_s]
  end
end

def environment(query)
  Rack::MockRequest.env_for('/x').merge('QUERY_STRING' => query)
end

# A form in the body, beside a query that says nothing.
def form(body)
  input = { 'REQUEST_METHOD' => 'POST', 'CONTENT_TYPE' => 'application/x-www-form-urlencoded', 'rack.input' => StringIO.new(body) }
  Rack::MockRequest.env_for('/x').merge(input)
end

def request(head)
  parsed = WEBrick::HTTPRequest.new(WEBrick::Config::HTTP)
  parsed.parse(StringIO.new(head))
  parsed
end

def variable
  folded = NAME.upcase.tr('-', '_')
  %w[CONTENT_TYPE CONTENT_LENGTH].include?(folded) ? folded : "HTTP_#{folded}"
end

READERS = {
  'query' => {
    'Rack nested' => ->(query) { Rack::Utils.parse_nested_query(query)[NAME] },
    'Rack flat' => ->(query) { Rack::Utils.parse_query(query)[NAME] },
    'Rack request' => ->(query) { Rack::Request.new(environment(query)).params[NAME] },
    'Rack form' => ->(query) { Rack::Request.new(form(query)).params[NAME] },
    'decode_www_form' => ->(query) { URI.decode_www_form(query).filter_map { |own, value| value if own == NAME } },
    'WEBrick' => ->(query) { WEBrick::HTTPUtils.parse_query(query)[NAME]&.list }
  },
  'body' => {
    'JSON.parse' => ->(body) { JSON.parse(body.dup.force_encoding('UTF-8'))[NAME] },
    'JSON.load' => ->(body) { JSON.load(body.dup.force_encoding('UTF-8'))[NAME] }
  },
  'fields' => {
    'WEBrick variable' => ->(head) { request(head).meta_vars[variable] },
    'WEBrick field' => ->(head) { request(head)[NAME] }
  }
}.fetch(kind)

$stdout.puts JSON.generate(READERS.keys)
$stdin.each_line(chomp: true) do |line|
  data = [line].pack('H*')
  answers = READERS.values.map do |reader|
    leaves(reader.call(data)).map { |leaf| leaf.unpack1('H*') }
  rescue StandardError
    nil
  end
  $stdout.puts JSON.generate(answers)
end
