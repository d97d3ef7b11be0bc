-- +goose Up

-- On Postgres, this is where servers begin to be told of changes that others make. Here there is one server, which knows of its own.
SELECT 1;

-- +goose Down

SELECT 1;
