// Package domain is the ground floor: what a product, an order, a user and an event are, and the rules that
// hold for them whoever asks. It reads no clock, opens no connection and knows neither SQL nor HTTP.
package domain
