-- +goose Up

ALTER TABLE products ADD COLUMN sku text;
ALTER TABLE products ADD COLUMN sku_key text COLLATE "C";
ALTER TABLE products ADD COLUMN reorder_level bigint CONSTRAINT products_reorder_level_not_negative CHECK (reorder_level >= 0);
CREATE UNIQUE INDEX products_sku_key ON products (sku_key) WHERE deleted_at IS NULL;
CREATE INDEX products_low ON products (created_at, id) WHERE deleted_at IS NULL AND quantity <= reorder_level;

-- +goose Down

DROP INDEX products_low;
DROP INDEX products_sku_key;
ALTER TABLE products DROP COLUMN reorder_level;
ALTER TABLE products DROP COLUMN sku_key;
ALTER TABLE products DROP COLUMN sku;
