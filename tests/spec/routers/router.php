<?php
// Reads the routes, then one request a line, and writes which of the routes each router takes it to: one line of JSON.

function means(string $pattern, string $path): bool
{
    $wanted = explode('/', $pattern);
    $given = explode('/', $path);
    if (end($wanted) === '**') {
        if (count($given) < count($wanted)) {
            return false;
        }
        array_pop($wanted);
        $given = array_slice($given, 0, count($wanted));
    }
    if (count($wanted) !== count($given)) {
        return false;
    }
    foreach ($wanted as $place => $name) {
        if (str_starts_with($name, '{') ? $given[$place] === '' : $name !== $given[$place]) {
            return false;
        }
    }
    return true;
}

function takes(array $route, string $method): bool
{
    return $route['method'] === '*' || $route['method'] === $method || ($route['method'] === 'GET' && $method === 'HEAD');
}

/** Frameworks take the method in any case. */
function by(array $routes, callable $read): callable
{
    return function (string $method, string $target) use ($routes, $read): array {
        $path = $read($target);
        $found = array_filter($routes, fn ($route) => takes($route, strtoupper($method)) && means($route['path'], $path));
        return array_column($found, 'name');
    };
}

$routes = json_decode(fgets(STDIN), true);
$plain = fn (string $target): string => explode('?', $target, 2)[0];
$parsed = fn (string $target): string => (string) parse_url($target, PHP_URL_PATH);
$readers = [
    'rawurldecode' => by($routes, fn ($target) => rawurldecode($plain($target))),
    'urldecode' => by($routes, fn ($target) => urldecode($plain($target))),
    'urldecode of parse_url' => by($routes, fn ($target) => urldecode($parsed($target))),
    'parse_url of rawurldecode' => by($routes, fn ($target) => $parsed(rawurldecode($target))),
    'trimmed of slashes' => by($routes, fn ($target) => '/' . trim(rawurldecode($plain($target)), '/')),
    'trimmed' => by($routes, fn ($target) => trim(rawurldecode($plain($target)))),
];
echo json_encode(array_keys($readers)), "\n";
while (($line = fgets(STDIN)) !== false) {
    [$method, $target] = json_decode($line, true);
    echo json_encode(array_map(fn ($reader) => $reader($method, $target), array_values($readers))), "\n";
}
