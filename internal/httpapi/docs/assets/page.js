// What Swagger UI shows differently here.
function inOurWay({ React, specSelectors }) {
  const h = React.createElement;
  return {
    wrapComponents: {
      // The introduction is long, and stands before everything else: it is folded.
      InfoContainer: (Original) => (props) =>
        h("details", { className: "about" }, h("summary", null, `About version ${specSelectors.version()}: roles, errors, lists, safe repeats`), h(Original, props)),
      // The words of the reference lead to the operations that they name.
      Markdown: (Original) => (props) => h(Original, { ...props, source: linked(props.source) }),
    },
    // Swagger UI itself would leave what the page's address names below the bar.
    statePlugins: { layout: { wrapActions: { scrollToElement: () => (element) => element.scrollIntoView() } } },
  };
}

const ui = SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#reference",
  validatorUrl: null, // nothing leaves this server
  deepLinking: true,
  displayRequestDuration: true,
  defaultModelsExpandDepth: 0,
  defaultModelRendering: "example",
  docExpansion: "list",
  plugins: [inOurWay],
});

function linked(text) {
  return text?.replace(/`(GET|POST|PUT|PATCH|DELETE) (\/[^ `]*)`/g, (word, method, path) => {
    const operation = ui.specSelectors.specJson().getIn(["paths", path, method.toLowerCase()]);
    return operation ? `[${word}](#/${encodeURIComponent(operation.getIn(["tags", 0]))}/${operation.get("operationId")})` : word;
  });
}

// Swagger UI follows such a link only when the page is opened.
document.addEventListener("click", (event) => {
  const link = event.target.closest('a[href^="#/"]:not(.nostyle)');
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  link.closest(".dialog-ux")?.querySelector(".close-modal").click();
  const hash = link.getAttribute("href");
  const [, tag, operation] = hash.split("/").map(decodeURIComponent);
  ui.layoutActions.show(["operations-tag", tag], true);
  if (operation) ui.layoutActions.show(["operations", tag, operation], true);
  requestAnimationFrame(() => {
    const mark = document.querySelector(`#reference a.nostyle[href="${CSS.escape(hash)}"]`);
    mark.closest(".opblock, .opblock-tag").scrollIntoView();
    (mark.closest("button") || mark).focus({ preventScroll: true });
  });
});
