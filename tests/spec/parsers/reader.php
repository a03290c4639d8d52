<?php
// Reads one input in hex from each line, and writes what PHP's parsers take for the value of NAME in it: one line of JSON,
// for each reader null or the list of values in hex.  php reader.php query|body NAME
// As the script of `php -S` it answers with the variables that stand for NAME (in the query) among the request's fields.

/** The strings in a value, however deep. */
function leaves($value): array
{
    if ($value === null) {
        return [];
    }
    if (is_array($value) || is_object($value)) {
        return array_merge([], ...array_map('leaves', array_values((array) $value)));
    }
    return [is_string($value) ? $value : json_encode($value)];
}

function answer(array $readers, string $data): string
{
    $answers = [];
    foreach ($readers as $reader) {
        try {
            $answers[] = array_map('bin2hex', leaves($reader($data)));
        } catch (Throwable) {
            $answers[] = null;
        }
    }
    return json_encode($answers);
}

if (PHP_SAPI === 'cli-server') {
    $name = $_GET['name'];
    $folded = strtoupper(strtr($name, '-', '_'));
    $variable = in_array($folded, ['CONTENT_TYPE', 'CONTENT_LENGTH']) ? $folded : "HTTP_$folded";
    $fields = array_change_key_case(getallheaders());
    header('Content-Type: application/json');
    $read = fn ($table, $key) => isset($table[$key]) ? [bin2hex($table[$key])] : [];
    echo json_encode([$read($_SERVER, $variable), $read($fields, strtolower($name))]);
    return;
}

[, $kind, $name] = $argv;
$readers = [
    'query' => [
        'parse_str' => function ($query) use ($name) {
            parse_str($query, $variables);
            return $variables[$name] ?? null;
        },
    ],
    'body' => [
        'json_decode' => fn ($body) => json_decode($body)->$name,
        'json_decode to an array' => fn ($body) => json_decode($body, true, 512, JSON_BIGINT_AS_STRING)[$name] ?? null,
        'json_decode, ignoring what is no UTF-8' => fn ($body) => json_decode($body, true, 512, JSON_INVALID_UTF8_IGNORE)[$name] ?? null,
    ],
][$kind];
error_reporting(0);
echo json_encode(array_keys($readers)), "\n";
while (($line = fgets(STDIN)) !== false) {
    echo answer($readers, hex2bin(trim($line))), "\n";
}
