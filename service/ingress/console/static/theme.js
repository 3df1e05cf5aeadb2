// Sets the theme before the first paint. Without a choice, the style sheet follows the operating system.
const theme = localStorage.getItem("theme");
if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
