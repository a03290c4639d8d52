<?php
// Answers every request with the variables that PHP makes of it: php -S 127.0.0.1:PORT environment.php
header('Content-Type: application/json');
echo json_encode(array_filter($_SERVER, 'is_string'), JSON_INVALID_UTF8_SUBSTITUTE);
