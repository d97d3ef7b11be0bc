SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#reference",
  validatorUrl: null, // nothing leaves this server
  deepLinking: true,
  displayRequestDuration: true,
  defaultModelsExpandDepth: 0,
  defaultModelRendering: "example",
  docExpansion: "list",
});
