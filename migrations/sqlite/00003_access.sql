-- +goose Up

-- An authenticator app. The secret is sealed with a key that is not in the database.
CREATE TABLE second_factors (
    user_id      TEXT NOT NULL PRIMARY KEY REFERENCES users (id),
    secret       TEXT NOT NULL,
    created_at   DATETIME NOT NULL,
    confirmed_at DATETIME,
    last_step    INTEGER NOT NULL
);

-- What opens an account once when the app is lost; only the hash is kept.
CREATE TABLE recovery_codes (
    hash       TEXT NOT NULL PRIMARY KEY,
    user_id    TEXT NOT NULL REFERENCES users (id),
    created_at DATETIME NOT NULL,
    used_at    DATETIME
);
CREATE INDEX recovery_codes_user_id ON recovery_codes (user_id);

-- What a program calls with, instead of a password; only the hash is kept.
CREATE TABLE api_keys (
    id           TEXT NOT NULL PRIMARY KEY,
    user_id      TEXT NOT NULL REFERENCES users (id),
    name         TEXT NOT NULL,
    hash         TEXT NOT NULL UNIQUE,
    scope        TEXT NOT NULL CHECK (scope IN ('read', 'write')),
    created_at   DATETIME NOT NULL,
    expires_at   DATETIME NOT NULL,
    last_used_at DATETIME,
    revoked_at   DATETIME
);
CREATE INDEX api_keys_user_id ON api_keys (user_id);
CREATE INDEX api_keys_expires_at ON api_keys (expires_at);

-- +goose Down

DROP TABLE api_keys;
DROP TABLE recovery_codes;
DROP TABLE second_factors;
