# Answers every request with the variables that WSGI makes of it. Says its port on the first line.
import json
from wsgiref.simple_server import WSGIRequestHandler, make_server


class Quiet(WSGIRequestHandler):
    def log_message(self, *arguments):
        pass


def application(environ, start_response):
    texts = {name: value for name, value in environ.items() if isinstance(value, str)}
    start_response('200 OK', [('Content-Type', 'application/json')])
    return [json.dumps(texts).encode()]


server = make_server('127.0.0.1', 0, application, handler_class=Quiet)
print(server.server_port, flush=True)
server.serve_forever()
