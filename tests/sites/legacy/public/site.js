var xhr = document.getElementById('xhr');
if (xhr) {
  fetch(xhr.dataset.ask)
    .then(function (answer) { return answer.json(); })
    .then(function (told) { xhr.textContent = told.generation; });
}
