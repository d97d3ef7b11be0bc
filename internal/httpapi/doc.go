// Package httpapi is the HTTP edge: it turns requests into calls of use cases, and what they return into JSON. It decides
// nothing but the form; it knows neither SQL nor where a picture lies.
package httpapi
