namespace Perf.Engine.IO;

/// <summary>
/// Every outcome of something that makes choices, in turn: the choices are the digits of a number that is counted up.
/// Later choices may depend on earlier ones.
/// </summary>
internal sealed class SimOutcomes
{
    private readonly List<(int Choice, int Bound)> _digits = [];
    private int _at;

    public int Choose(int bound)
    {
        if (_at == _digits.Count)
        {
            _digits.Add((0, bound));
        }

        return _digits[_at++].Choice;
    }

    /// <summary>Goes on to the next outcome; false when that was the last.</summary>
    public bool Advance()
    {
        _digits.RemoveRange(_at, _digits.Count - _at);
        _at = 0;
        while (_digits.Count > 0)
        {
            (int choice, int bound) = _digits[^1];
            if (choice + 1 < bound)
            {
                _digits[^1] = (choice + 1, bound);
                return true;
            }

            _digits.RemoveAt(_digits.Count - 1);
        }

        return false;
    }
}
