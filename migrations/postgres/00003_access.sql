-- +goose Up

-- An authenticator app. The secret is sealed with a key that is not in the database.
CREATE TABLE second_factors (
    user_id      uuid NOT NULL PRIMARY KEY REFERENCES users (id),
    secret       text NOT NULL,
    created_at   timestamptz NOT NULL,
    confirmed_at timestamptz,
    last_step    bigint NOT NULL
);

-- What opens an account once when the app is lost; only the hash is kept.
CREATE TABLE recovery_codes (
    hash       text NOT NULL PRIMARY KEY,
    user_id    uuid NOT NULL REFERENCES users (id),
    created_at timestamptz NOT NULL,
    used_at    timestamptz
);
CREATE INDEX recovery_codes_user_id ON recovery_codes (user_id);

-- What a program calls with, instead of a password; only the hash is kept.
CREATE TABLE api_keys (
    id           uuid NOT NULL PRIMARY KEY,
    user_id      uuid NOT NULL REFERENCES users (id),
    name         text NOT NULL,
    hash         text NOT NULL UNIQUE,
    scope        text NOT NULL CHECK (scope IN ('read', 'write')),
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    last_used_at timestamptz,
    revoked_at   timestamptz
);
CREATE INDEX api_keys_user_id ON api_keys (user_id);
CREATE INDEX api_keys_expires_at ON api_keys (expires_at);

-- +goose Down

DROP TABLE api_keys;
DROP TABLE recovery_codes;
DROP TABLE second_factors;
