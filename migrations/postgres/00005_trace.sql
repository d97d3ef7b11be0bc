-- +goose Up

ALTER TABLE outbox ADD COLUMN trace_parent text;

-- +goose Down

ALTER TABLE outbox DROP COLUMN trace_parent;
